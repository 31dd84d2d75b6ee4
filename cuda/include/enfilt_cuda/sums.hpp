// Sums of float64 parts in an order that depends on their number alone, and rows of weights.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

// A sum as if once rounded (Neumaier 1974): adding up a thousand parts one by one would lose more
// digits than all that was added up to make them.
struct CompensatedSum {
    double sum, lost;

    ENFILT_DEVICE void operator+=(double term) {
        const double next = sum + term;
        lost += std::fabs(sum) >= std::fabs(term) ? (sum - next) + term : (term - next) + sum;
        sum = next;
    }
    ENFILT_DEVICE void operator+=(const CompensatedSum& other) {
        *this += other.sum;
        lost += other.lost;
    }
    ENFILT_DEVICE double total() const { return sum + lost; }
};

// to[p] = sum over k of partial[p * parts + k]. Several threads share one sum where there are many
// parts.
struct SumPass {
    static constexpr unsigned threads = 128;
    const double* partial;
    index_t count, parts;
    double* to;

    // Threads a sum: a power of two.
    static unsigned width(index_t parts) {
        unsigned w = 1;
        while (w < threads && static_cast<index_t>(w) * 4 < parts) w *= 2;
        return w;
    }
    Grid grid() const {
        return {count_of(divide_up(count, threads / width(parts))), 1};
    }
    static constexpr std::size_t shared_bytes = threads * sizeof(CompensatedSum);
    unsigned each;  // width(parts)

    SumPass(const double* from, index_t sums, index_t parts_each, double* out)
        : partial(from), count(sums), parts(parts_each), to(out), each(width(parts_each)) {}

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        CompensatedSum* const shared = c.template shared<CompensatedSum>();
        const unsigned lane = c.thread() % each;
        const index_t p = static_cast<index_t>(c.block()) * (threads / each) + c.thread() / each;
        CompensatedSum sum{0, 0};
        if (p < count)
            for (index_t k = lane; k < parts; k += each) sum += partial[p * parts + k];
        shared[c.thread()] = sum;
        for (unsigned step = each / 2; step > 0; step /= 2) {
            c.sync();
            if (lane < step) shared[c.thread()] += shared[c.thread() + step];
        }
        if (p < count && lane == 0) to[p] = shared[c.thread()].total();
    }
};

// Rows of weights, w_ij = softmax_j(-half_precision distance_ij + l_j). The row's largest logarithm
// is taken out first: a row sums to one however far its point lies from every centre.
//
// single[i] is the column of a row whose other weights together are below a quarter of the last
// bit of T, which then rounds to the one-hot row and so does what it multiplies; -1 elsewhere.
template <class T>
struct SoftmaxPass {
    static constexpr unsigned threads = 128;
    const double* distance;     // (M, N)
    const double* log_weights;  // (N,), or null
    double half_precision;
    index_t rows, columns;  // of an ensemble
    T* w;         // (M, N)
    int* single;  // (M,)

    Grid grid(index_t ensembles) const { return {count_of(rows), 1, count_of(ensembles)}; }
    static constexpr std::size_t shared_bytes = threads * (sizeof(double) + sizeof(int));

    ENFILT_DEVICE double logarithm(const double* row, const double* added, index_t j) const {
        return -half_precision * row[j] + (added ? added[j] : 0.0);
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        double* const value = c.template shared<double>();
        int* const place = reinterpret_cast<int*>(value + threads);
        const unsigned t = c.thread();
        const index_t i = static_cast<index_t>(c.ensemble()) * rows + c.block();
        const double* const row = distance + i * columns;
        const double* const added = log_weights ? log_weights + c.ensemble() * columns : nullptr;
        T* const to = w + i * columns;
        double largest = -HUGE_VAL;
        int where = -1;
        for (index_t j = t; j < columns; j += threads) {
            const double logit = logarithm(row, added, j);
            if (logit > largest) largest = logit, where = static_cast<int>(j);
        }
        value[t] = largest, place[t] = where;
        for (unsigned step = threads / 2; step > 0; step /= 2) {
            c.sync();
            if (t < step && value[t + step] > value[t])
                value[t] = value[t + step], place[t] = place[t + step];
        }
        c.sync();
        largest = value[0], where = place[0];
        c.sync();
        double others = 0;
        for (index_t j = t; j < columns; j += threads)
            if (j != where) others += std::exp(logarithm(row, added, j) - largest);
        value[t] = others;
        for (unsigned step = threads / 2; step > 0; step /= 2) {
            c.sync();
            if (t < step) value[t] += value[t + step];
        }
        c.sync();
        others = value[0];
        const double negligible = sizeof(T) == sizeof(float) ? 1.4e-8 : 2.7e-17;
        const bool alone = others <= negligible;
        if (t == 0) single[i] = alone ? where : -1;
        for (index_t j = t; j < columns; j += threads) {
            const double entry =
                alone ? (j == where ? 1.0 : 0.0)
                      : std::exp(logarithm(row, added, j) - largest) / (1.0 + others);
            to[j] = static_cast<T>(entry);
        }
    }
};

}  // namespace enfilt::cuda
