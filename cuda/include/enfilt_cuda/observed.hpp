// The observation of one component and the pull of it on a member.
//
// A new component-wise operator: a name in Pointwise (problem.hpp of the core) and a case below.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

// What is observed of a component: weight 1/r^2, or 0 where nothing is, or where y is NaN.
template <class T>
struct Seen {
    T y, weight;
};

template <class T>
ENFILT_DEVICE Seen<T> observation_of(const Observed<T>& obs, index_t d) {
    index_t k = -1;
    if (!obs.indices) {
        const index_t away = d - obs.offset;
        if (obs.stride == 1)
            k = away;
        else if (away >= 0 && away % obs.stride == 0)
            k = away / obs.stride;
    } else {
        index_t low = 0, high = obs.size;  // the first k with indices[k] >= d
        while (low < high) {
            const index_t middle = low + (high - low) / 2;
            if (obs.indices[middle] < d)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < obs.size && obs.indices[low] == d) k = low;
    }
    if (k < 0 || k >= obs.size) return {T(0), T(0)};
    const T y = obs.y[k];
    if (y != y) return {T(0), T(0)};
    return {y, obs.precision[obs.precision_varies ? k : 0]};
}

template <class T>
struct Linearized {
    T value, slope;
};

template <class T>
ENFILT_DEVICE T integer_power(T x, int p) {
    T result = 1;
    for (; p > 0; p >>= 1, x *= x)
        if (p & 1) result *= x;
    return result;
}

// |x|^p of x other than 0, with 0 for 0 where p is above 0.
template <class T>
ENFILT_DEVICE T magnitude_power(T x, T p) {
    return std::pow(std::fabs(x), p);
}

// h(x) and its derivative. All threads of a kernel take the same case.
template <class T>
ENFILT_DEVICE Linearized<T> linearize(const Observed<T>& obs, T x) {
    const T parameter = static_cast<T>(obs.parameter);
    switch (obs.kind) {
        case Pointwise::arctan: return {std::atan(x), T(1) / (T(1) + x * x)};
        case Pointwise::tanh: {
            const T h = std::tanh(x);
            return {h, (T(1) - h) * (T(1) + h)};
        }
        case Pointwise::sigmoid: {
            // 1/(1 + e^-a) = (1 + tanh(a/2))/2 overflows on neither side, but for small values
            // would lose digits
            const T a = parameter * x, e = std::exp(-std::fabs(a));
            const T h = (a < 0 ? e : T(1)) / (T(1) + e);
            return {h, parameter * h * (T(1) - h)};
        }
        case Pointwise::power_integer: {
            const T below = integer_power(x, static_cast<int>(obs.parameter) - 1);
            return {below * x, parameter * below};
        }
        case Pointwise::power_real: {
            const T below = magnitude_power(x, parameter - T(1));
            const T value = std::fabs(x) > 0 ? below * std::fabs(x) : T(0);
            return {x < 0 ? -value : value, parameter * below};
        }
        default: return {x, T(1)};
    }
}

// -strength grad J of one component at x (Feng et al. 2025, arXiv:2502.02150).
template <class T>
ENFILT_DEVICE T guidance(const Observed<T>& obs, const Seen<T>& seen, T x, T strength) {
    if (!(seen.weight > 0)) return T(0);
    const Linearized<T> at = linearize(obs, x);
    return strength * seen.weight * at.slope * (seen.y - at.value);
}

// J(x_i) = 1/2 sum_k ((y_k - h_k(x_i)) / r_k)^2: sums of chunks of components, (N, chunks).
template <class T>
struct MisfitPass {
    static constexpr unsigned threads = 256;
    Observed<T> observed;
    const T* x;
    index_t members, dim;
    double* partial;

    static index_t chunks(index_t dim) { return smaller(divide_up(dim, 4 * threads), 512); }
    Grid grid() const { return {count_of(chunks(dim)), count_of(smaller(members, 65535))}; }
    static constexpr std::size_t shared_bytes = threads / warp_size * sizeof(double);

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t step = static_cast<index_t>(c.blocks()) * threads;
        for (index_t i = c.row(); i < members; i += c.rows()) {
            double sum = 0;
            for (index_t d = static_cast<index_t>(c.block()) * threads + c.thread(); d < dim;
                 d += step) {
                const Seen<T> seen = observation_of(observed, d);
                if (!(seen.weight > 0)) continue;
                const T miss = seen.y - linearize(observed, x[i * dim + d]).value;
                sum += 0.5 * static_cast<double>(seen.weight * miss * miss);
            }
            sum = block_sum(c, threads, sum, c.template shared<double>());
            if (c.thread() == 0) partial[i * c.blocks() + c.block()] = sum;
            c.sync();
        }
    }
};

}  // namespace enfilt::cuda
