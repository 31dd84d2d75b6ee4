// What becomes of a component of a point once the weights have mixed the members.
#pragma once

#include <enfilt/math/reverse_update.hpp>
#include <enfilt/math/velocity.hpp>

#include "observed.hpp"
#include "random.hpp"

namespace enfilt::cuda {

using math::FieldForm;

struct Nothing {};

// In place of an operator, where no observation pulls.
struct Unguided {};

// The pairwise estimator itself.
template <class T>
struct FieldAdvance {
    static constexpr bool heavy = false;
    math::Velocity<Scalars<T>> velocity;

    ENFILT_DEVICE FieldAdvance of(index_t) const { return *this; }
    ENFILT_DEVICE Nothing seen(index_t) const { return {}; }
    ENFILT_DEVICE T operator()(Nothing, index_t, index_t, T x, T pull) const {
        return velocity.field(x, pull);
    }
};

// A step of Euler's method along the field with local guidance, or none.
template <class T, class Operator>
struct FlowAdvance {
    static constexpr unsigned resident = 5;
    static constexpr bool heavy = false;
    static constexpr bool guided = !std::is_same_v<Operator, Unguided>;
    math::Velocity<Scalars<T>> velocity;
    T dt;
    Operator h;
    ObservedOfBatch<T> observed;

    ENFILT_DEVICE FlowAdvance of(index_t ensemble) const {
        return {velocity, dt, h, {guided ? observed.of(ensemble) : observed.first, observed.next}};
    }
    ENFILT_BOTH bool draws() const { return false; }
    ENFILT_DEVICE void draw(int, index_t, index_t, int, T*) const {}
    ENFILT_DEVICE T with(const Seen<T>& what, index_t i, index_t d, T z, T pull, const T*) const {
        return (*this)(what, i, d, z, pull);
    }

    ENFILT_DEVICE Seen<T> seen(index_t d) const {
        if constexpr (guided)
            return observation_of(observed.first, d);
        else
            return {T(0), T(0)};
    }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t, index_t, T z, T pull) const {
        T v = velocity.field(z, pull);
        if constexpr (guided)
            v += guidance(h, what, velocity.expected(z, pull), velocity.strength);
        return z + dt * v;
    }
};

// Calls body with the step of a stage, compiled for its operator.
template <class T, class Body>
void with_flow_advance(const Stage& s, double dt, const ObservedOfBatch<T>* observed, Body&& body) {
    const math::Velocity<Scalars<T>> velocity(s);
    const T step = static_cast<T>(dt);
    if (!observed || s.strength == 0)
        return body(FlowAdvance<T, Unguided>{velocity, step, {}, {}});
    with_operator(observed->first, [&](auto h) {
        body(FlowAdvance<T, decltype(h)>{velocity, step, h, *observed});
    });
}

// The step of a stage, of any operator, or of none: then nothing is observed.
template <class T>
FlowAdvance<T, AnyOperator<T>> any_flow_advance(const Stage& s, double dt,
                                                const ObservedOfBatch<T>* observed) {
    const bool guided = observed && s.strength != 0;
    const ObservedOfBatch<T> seen = guided ? *observed : ObservedOfBatch<T>{};
    return {math::Velocity<Scalars<T>>(s), static_cast<T>(dt), AnyOperator<T>(seen.first), seen};
}

// The second half of a step of Heun's method: from z + dt f to z + dt (f + f')/2.
template <class T, class Euler>
struct HeunAdvance {
    static constexpr bool heavy = false;
    Euler euler;
    const T* z;  // (N, D), before the step
    index_t dim, next;  // from an ensemble's to that of the next

    ENFILT_DEVICE HeunAdvance of(index_t ensemble) const {
        return {euler.of(ensemble), z + ensemble * next, dim, next};
    }
    ENFILT_DEVICE Seen<T> seen(index_t d) const { return euler.seen(d); }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t i, index_t d, T ahead, T pull) const {
        return T(0.5) * (z[i * dim + d] + euler(what, i, d, ahead, pull));
    }
};

// x <- keep x + gain S + spread xi with the score S = ratio x + pulled - damping grad J(x), clipped.
template <class T, class Operator>
ENFILT_DEVICE T reverse_step(const math::ReverseUpdate<Scalars<T>>& update, const Operator& h,
                             const Seen<T>& what, T x, T pulled, T limit, T xi) {
    const auto drawn = [&] { return pulled; };
    const auto guided = [&] { return guidance(h, what, x, update.damping); };
    return update.moved(x, drawn, guided, -limit, limit) + update.spread * xi;
}

// A step of the score filter with the mixture score.
template <class T, class Operator>
struct DiffusionAdvance {
    static constexpr unsigned resident = 3;
    static constexpr bool heavy = true;
    math::ReverseUpdate<Scalars<T>> update;
    T limit;
    Operator h;
    ObservedOfBatch<T> observed;
    Normals<T> normals;

    ENFILT_DEVICE DiffusionAdvance of(index_t ensemble) const {
        return {update, limit, h, {observed.of(ensemble), observed.next}, normals.of(ensemble)};
    }
    ENFILT_DEVICE Seen<T> seen(index_t d) const { return observation_of(observed.first, d); }
    ENFILT_BOTH bool draws() const { return update.spread != 0; }
    ENFILT_DEVICE void draw(int thread, index_t first, index_t members, int stride, T* to) const {
        normals.columns(thread, first, members, stride, to);
    }
    ENFILT_DEVICE T operator()(const Seen<T>& what, index_t i, index_t d, T x, T pull) const {
        return reverse_step(update, h, what, x, pull, limit, draws() ? normals.one(i, d) : T(0));
    }
    // With a normal that was drawn before.
    ENFILT_DEVICE T with(const Seen<T>& what, index_t, index_t, T x, T pull, const T* xi) const {
        return reverse_step(update, h, what, x, pull, limit, draws() ? *xi : T(0));
    }
};

}  // namespace enfilt::cuda
