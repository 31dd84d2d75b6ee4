// The sums over components from which RMSE, spread, CRPS and rank histogram follow.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

// Sums of chunks of components, (4, chunks), and counts of the truth's rank among the members.
template <class T>
struct ScorePass {
    static constexpr unsigned threads = 128;
    const T* x;      // (N, D)
    const T* truth;  // (D,)
    index_t members, dim;
    double* partial;               // squared error, variance, CRPS, mean |x - truth|
    unsigned long long* ranks;     // (N + 1,), zeros before

    static index_t chunks(index_t dim) { return smaller(divide_up(dim, threads), 1056); }
    Grid grid() const { return {count_of(chunks(dim)), 1}; }
    std::size_t shared_bytes() const {
        return threads / warp_size * sizeof(double) +
               static_cast<std::size_t>(members + 1) * sizeof(unsigned);
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        double* const scratch = c.template shared<double>();
        unsigned* const counts = reinterpret_cast<unsigned*>(scratch + threads / warp_size);
        for (index_t k = c.thread(); k <= members; k += threads) counts[k] = 0;
        c.sync();
        const T share = T(1) / static_cast<T>(members);
        double squared_error = 0, variance = 0, crps = 0, absolute = 0;
        for (index_t d = static_cast<index_t>(c.block()) * threads + c.thread(); d < dim;
             d += static_cast<index_t>(c.blocks()) * threads) {
            const T at = truth[d];
            T mean = 0, to_truth = 0, apart = 0, squares = 0;
            index_t below = 0;
            for (index_t j = 0; j < members; ++j) {
                const T member = x[j * dim + d], difference = member - at;
                mean += difference;
                to_truth += std::fabs(difference);
                if (difference < 0) ++below;
                for (index_t k = 0; k < j; ++k) apart += std::fabs(member - x[k * dim + d]);
            }
            mean *= share;
            for (index_t j = 0; j < members; ++j) {
                const T anomaly = x[j * dim + d] - at - mean;
                squares += anomaly * anomaly;
            }
            squared_error += static_cast<double>(mean * mean);
            if (members > 1) variance += static_cast<double>(squares / static_cast<T>(members - 1));
            crps += static_cast<double>(share * to_truth - share * share * apart);
            absolute += static_cast<double>(share * to_truth);
            c.add(counts + below, 1u);
        }
        const double sums[4] = {squared_error, variance, crps, absolute};
        for (int s = 0; s < 4; ++s) {
            const double sum = block_sum(c, threads, sums[s], scratch);
            if (c.thread() == 0) partial[s * static_cast<index_t>(c.blocks()) + c.block()] = sum;
            c.sync();
        }
        for (index_t k = c.thread(); k <= members; k += threads)
            if (counts[k]) c.add(ranks + k, static_cast<unsigned long long>(counts[k]));
    }
};

// Counts kept as zeros until a kernel adds to them.
template <class U>
struct ZeroPass {
    static constexpr unsigned threads = 128;
    U* to;
    index_t count;

    Grid grid() const { return {count_of(divide_up(count, threads)), 1}; }
    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t k = static_cast<index_t>(c.block()) * threads + c.thread();
        if (k < count) to[k] = U(0);
    }
};

// out = x where a flag on the device is set: without observations the analysis is the forecast,
// and whether there are any is not known on the host.
template <class T>
struct CopyWherePass {
    static constexpr unsigned threads = 256;
    const bool* flag;
    const T* x;
    T* out;
    index_t count;

    Grid grid() const { return {count_of(smaller(divide_up(count, threads), 2112)), 1}; }
    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        if (!*flag) return;
        for (index_t k = static_cast<index_t>(c.block()) * threads + c.thread(); k < count;
             k += static_cast<index_t>(c.blocks()) * threads)
            out[k] = x[k];
    }
};

}  // namespace enfilt::cuda
