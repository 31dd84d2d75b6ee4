// The score filter with the paired score: a component needs no other, so all steps run in
// registers and memory is passed over once.
#pragma once

#include "advance.hpp"

namespace enfilt::cuda {

// Steps [first_step, first_step + count) of the schedule; longer schedules take several passes.
template <class T, class Operator>
struct PairedPass {
    static constexpr unsigned threads = 128;
    struct Step {
        math::ReverseUpdate<Scalars<T>> update;
        T pull;
    };
    // a kernel's arguments are few
    static constexpr int most = static_cast<int>(3072 / sizeof(Step));

    const T* x1;  // (N, D)
    T* x;         // (N, D)
    index_t members, dim;
    bool draws_start;  // x is drawn here; else it is read
    int first_step, count;
    Step schedule[most];
    T limit;
    Operator h;
    ObservedOfBatch<T> observed;
    const T* noise;      // (steps + 1, N, D), (1, N, D), or null: Philox
    index_t noise_next;  // from one ensemble's to the next
    std::uint64_t key;
    std::uint32_t batch;

    Grid grid(index_t ensembles) const {
        return {count_of(divide_up(quads_of(dim), threads)), count_of(smaller(members, 65535)),
                count_of(ensembles)};
    }

    ENFILT_DEVICE Normals<T> normals(int draw, unsigned ensemble) const {
        const index_t slice = draw * members * dim + ensemble * noise_next;
        return {noise ? noise + slice : nullptr,
                {key, batch + ensemble, static_cast<std::uint32_t>(draw)},
                dim};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t quad = static_cast<index_t>(c.block()) * threads + c.thread();
        if (quad >= quads_of(dim)) return;
        const index_t d = first_of_quad(quad);
        Seen<T> seen[philox_words];
        const Observed<T> obs = observed.of(c.ensemble());
        for (int r = 0; r < philox_words; ++r) seen[r] = observation_of(obs, d + r * philox_lanes);
        const index_t first = static_cast<index_t>(c.ensemble()) * members;
        const index_t end = first + members;
        for (index_t row = first + c.row(); row < end; row += c.rows()) {
            const index_t i = row - first;
            T at[philox_words], member[philox_words];
            for (int r = 0; r < philox_words; ++r) {
                const index_t place = d + r * philox_lanes;
                member[r] = place < dim ? x1[row * dim + place] : T(0);
                at[r] = place < dim && !draws_start ? x[row * dim + place] : T(0);
            }
            if (draws_start) normals(0, c.ensemble()).quad(i, quad, at);
            for (int k = 0; k < count; ++k) {
                const Step& step = schedule[k];
                T xi[philox_words] = {};
                if (step.update.spread != 0)
                    normals(first_step + k + 1, c.ensemble()).quad(i, quad, xi);
                for (int r = 0; r < philox_words; ++r)
                    at[r] = reverse_step(step.update, h, seen[r], at[r], step.pull * member[r],
                                         limit, xi[r]);
            }
            for (int r = 0; r < philox_words; ++r) {
                const index_t place = d + r * philox_lanes;
                if (place < dim) x[row * dim + place] = at[r];
            }
        }
    }
};

}  // namespace enfilt::cuda
