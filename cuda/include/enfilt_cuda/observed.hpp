// The observation of one component, and the misfit of all.
#pragma once

#include <enfilt/math/guidance.hpp>
#include <enfilt/math/observed.hpp>

#include "launches.hpp"
#include "scalars.hpp"

namespace enfilt::cuda {

using math::Seen;

// What is observed of a component: nothing has weight 0.
template <class T>
ENFILT_DEVICE Seen<T> observation_of(const Observed<T>& obs, index_t d) {
    index_t k = -1;
    if (!obs.indices) {
        const index_t away = d - obs.offset;
        k = away;
        if (obs.stride != 1 && away >= 0) {
            k = away / obs.stride;
            if (k * obs.stride != away) k = -1;
        }
    } else {
        const index_t first = math::first_from(obs, d);
        if (first < obs.size && obs.indices[first] == d) k = first;
    }
    if (k < 0 || k >= obs.size) return {T(0), T(0)};
    return math::observation(obs, k);
}

// The observations of a batch.
template <class T>
struct ObservedOfBatch {
    Observed<T> first;
    index_t next = 0;  // from y of an ensemble to that of the next; 0: all have the same

    ENFILT_DEVICE Observed<T> of(index_t ensemble) const {
        Observed<T> own = first;
        own.y += ensemble * next;
        return own;
    }
};

// The pull of an observation on a member at x.
template <class T, class Operator>
ENFILT_DEVICE T guidance(const Operator& h, const Seen<T>& seen, T x, T strength) {
    return math::observed_pull<Scalars<T>>(strength, seen.weight, h.linearize(x), seen.y);
}

// J(x_i) = 1/2 sum_k ((y_k - h_k(x_i)) / r_k)^2: sums of chunks of components, (N, chunks).
template <class T>
struct MisfitPass {
    static constexpr unsigned threads = 256;
    Observed<T> observed;
    const T* x;
    index_t members, dim;
    double* partial;
    static constexpr std::size_t shared_bytes = threads / warp_size * sizeof(double);

    static index_t chunks(index_t dim) {
        return smaller(divide_up(dim, 4 * threads), blocks_at_once<MisfitPass>(shared_bytes));
    }
    Grid grid() const { return {count_of(chunks(dim)), count_of(smaller(members, 65535))}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t step = static_cast<index_t>(c.blocks()) * threads;
        const AnyOperator<T> h(observed);
        for (index_t i = c.row(); i < members; i += c.rows()) {
            double sum = 0;
            for (index_t d = static_cast<index_t>(c.block()) * threads + c.thread(); d < dim;
                 d += step) {
                const Seen<T> seen = observation_of(observed, d);
                if (!(seen.weight > 0)) continue;
                const T miss = seen.y - h.value(x[i * dim + d]);
                sum += 0.5 * static_cast<double>(seen.weight * miss * miss);
            }
            sum = block_sum(c, threads, sum, c.template shared<double>());
            if (c.thread() == 0) partial[i * c.blocks() + c.block()] = sum;
            c.sync();
        }
    }
};

}  // namespace enfilt::cuda
