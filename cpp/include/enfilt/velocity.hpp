// The velocity of the flow filter's sampler at one of its stages: the field and the guidance.
#pragma once

#include "guidance.hpp"
#include "math/velocity.hpp"
#include "pairwise.hpp"

ENFILT_OPEN

template <class T>
struct FlowVelocity : math::Velocity<math::Vectors<T>> {
    using Maths = math::Velocity<math::Vectors<T>>;
    using Maths::expected, Maths::field;
    FieldForm form;  // which its mixtures have to be made with

    explicit FlowVelocity(const Stage& s) : FlowVelocity(s, FieldForm(s)) {}

    // v + g at component d of the block that the guidance has been prepared for
    template <class Guidance>
    ENFILT_INLINE vec_t<T> operator()(const Guidance& guidance, index_t d, vec_t<T> z,
                                      vec_t<T> pull) const {
        return field(z, pull) + guidance(d, expected(z, pull), this->strength);
    }

    // Shows a function that takes blocks all of x_hat before a row moves, z(d) and pull(d) being
    // the vectors of that; x_hat is scratch.
    template <class Guidance, class Z, class Pull>
    ENFILT_INLINE void prepare(const Guidance& guidance, Z&& z, Pull&& pull, index_t n,
                               T* x_hat) const {
        if constexpr (Guidance::by_blocks) {
            constexpr index_t lanes = Blocks<T>::lanes;
            for (index_t d = 0; d < n; d += lanes) store(x_hat + d, expected(z(d), pull(d)));
            guidance.prepare(x_hat, n);
        }
    }

  private:
    FlowVelocity(const Stage& s, const FieldForm& its_form) : Maths(s, its_form), form(its_form) {}
};

ENFILT_CLOSE
