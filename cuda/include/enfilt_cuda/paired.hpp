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
    Observed<T> observed;
    const T* noise;  // (steps + 1, N, D), (1, N, D), or null: Philox
    std::uint64_t key;
    std::uint32_t batch;

    Grid grid() const {
        return {count_of(divide_up(quads_of(dim), threads)), count_of(smaller(members, 65535))};
    }

    ENFILT_DEVICE Normals<T> normals(int draw) const {
        return {noise ? noise + draw * members * dim : nullptr,
                {key, batch, static_cast<std::uint32_t>(draw)},
                dim};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t quad = static_cast<index_t>(c.block()) * threads + c.thread();
        if (quad >= quads_of(dim)) return;
        const index_t d = first_of_quad(quad);
        Seen<T> seen[philox_words];
        for (int r = 0; r < philox_words; ++r) seen[r] = observation_of(observed, d + r * philox_lanes);
        for (index_t i = c.row(); i < members; i += c.rows()) {
            T at[philox_words], member[philox_words];
            for (int r = 0; r < philox_words; ++r) {
                const index_t place = d + r * philox_lanes;
                member[r] = place < dim ? x1[i * dim + place] : T(0);
                at[r] = place < dim && !draws_start ? x[i * dim + place] : T(0);
            }
            if (draws_start) normals(0).quad(i, quad, at);
            for (int k = 0; k < count; ++k) {
                const Step& step = schedule[k];
                T xi[philox_words] = {};
                if (step.update.spread != 0) normals(first_step + k + 1).quad(i, quad, xi);
                for (int r = 0; r < philox_words; ++r)
                    at[r] = reverse_step(step.update, h, seen[r], at[r], step.pull * member[r],
                                         limit, xi[r]);
            }
            for (int r = 0; r < philox_words; ++r) {
                const index_t place = d + r * philox_lanes;
                if (place < dim) x[i * dim + place] = at[r];
            }
        }
    }
};

}  // namespace enfilt::cuda
