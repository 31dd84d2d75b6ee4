// What becomes of a component of a point once the weights have mixed the members.
#pragma once

#include "observed.hpp"
#include "random.hpp"

namespace enfilt::cuda {

struct Nothing {};

// The field of a stage as gain (keep z_i - sum_j w_ij (c1 x1_j + c0 x0_j)), equal to ratio z_i +
// sum_j w_ij (b1 x1_j + b0 x0_j): near the end of a path ratio z and its partner are large and
// cancel, and in float32 the difference has to be taken before it is multiplied.
struct FieldForm {
    double gain, keep, c1, c0;
    explicit FieldForm(const Stage& s)
        : gain(s.ratio != 0 ? s.ratio : -1.0), keep(s.ratio != 0 ? 1.0 : 0.0), c1(-s.b1 / gain),
          c0(-s.b0 / gain) {}
};

// The pairwise estimator itself.
template <class T>
struct FieldAdvance {
    T gain, keep;

    explicit FieldAdvance(const FieldForm& form)
        : gain(static_cast<T>(form.gain)), keep(static_cast<T>(form.keep)) {}

    ENFILT_DEVICE Nothing seen(index_t) const { return {}; }
    ENFILT_DEVICE T operator()(Nothing, index_t, index_t, T x, T pull) const {
        return gain * (keep * x - pull);
    }
};

// A step of Euler's method along the field with local guidance, or none.
template <class T>
struct FlowAdvance {
    static constexpr unsigned resident = 5;
    FieldAdvance<T> field;
    T remaining, strength, dt;
    bool guided;
    Observed<T> observed;

    FlowAdvance(const Stage& s, double step, const Observed<T>* obs)
        : field(FieldForm(s)), remaining(static_cast<T>(s.remaining)),
          strength(static_cast<T>(s.strength)), dt(static_cast<T>(step)),
          guided(obs && s.strength != 0), observed(obs ? *obs : Observed<T>()) {}

    ENFILT_BOTH bool draws() const { return false; }
    ENFILT_DEVICE void draw(int, index_t, index_t, int, T*) const {}
    ENFILT_DEVICE T with(const Seen<T>& what, index_t i, index_t d, T z, T pull, T) const {
        return (*this)(what, i, d, z, pull);
    }

    ENFILT_DEVICE Seen<T> seen(index_t d) const {
        return guided ? observation_of(observed, d) : Seen<T>{T(0), T(0)};
    }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t i, index_t d, T z, T pull) const {
        const T v = field(Nothing{}, i, d, z, pull);
        if (!guided) return z + dt * v;
        return z + dt * (v + guidance(observed, what, z + remaining * v, strength));
    }
};

// The second half of a step of Heun's method: from z + dt f to z + dt (f + f')/2.
template <class T>
struct HeunAdvance {
    FlowAdvance<T> euler;
    const T* z;  // (N, D), before the step
    index_t dim;

    ENFILT_DEVICE Seen<T> seen(index_t d) const { return euler.seen(d); }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t i, index_t d, T ahead, T pull) const {
        return T(0.5) * (z[i * dim + d] + euler(what, i, d, ahead, pull));
    }
};

// What one step of a reverse diffusion does: x <- keep x + gain S + spread xi with the score
// S = ratio x + pull - damping grad J(x), clipped.
template <class T>
struct ReverseUpdate {
    T ratio, pull, damping, keep, gain, spread;

    ReverseUpdate() = default;
    explicit ReverseUpdate(const DiffusionStep& s)
        : ratio(static_cast<T>(s.ratio)), pull(static_cast<T>(s.pull)),
          damping(static_cast<T>(s.damping)), keep(static_cast<T>(s.keep)),
          gain(static_cast<T>(s.gain)), spread(static_cast<T>(s.spread)) {}

    ENFILT_DEVICE T operator()(const Observed<T>& obs, const Seen<T>& what, T x, T pulled, T limit,
                               T xi) const {
        T score = ratio * x + pulled + guidance(obs, what, x, damping);
        score = score > limit ? limit : score;
        score = score < -limit ? -limit : score;
        return keep * x + gain * score + spread * xi;
    }
};

// A step of the score filter with the mixture score.
template <class T>
struct DiffusionAdvance {
    static constexpr unsigned resident = 3;
    ReverseUpdate<T> update;
    T limit;
    Observed<T> observed;
    Normals<T> normals;

    ENFILT_DEVICE Seen<T> seen(index_t d) const { return observation_of(observed, d); }
    ENFILT_BOTH bool draws() const { return update.spread != 0; }
    ENFILT_DEVICE void draw(int thread, index_t first, index_t members, int stride, T* to) const {
        normals.columns(thread, first, members, stride, to);
    }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t i, index_t d, T x, T pull) const {
        return update(observed, what, x, pull, limit, draws() ? normals.one(i, d) : T(0));
    }
    // With a normal that was drawn before.
    ENFILT_DEVICE T with(const Seen<T>& what, index_t, index_t, T x, T pull, T xi) const {
        return update(observed, what, x, pull, limit, draws() ? xi : T(0));
    }
};

}  // namespace enfilt::cuda
