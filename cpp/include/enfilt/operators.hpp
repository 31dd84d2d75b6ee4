// Component-wise observation operators h and their derivatives (math/operators.hpp), a vector at a
// time; a function of the caller's a block at a time.
#pragma once

#include "math/operators.hpp"
#include "math/vectors.hpp"

ENFILT_OPEN

// Known without looking at it, as for the results of a function that takes blocks.
template <class T>
using IdentityOperator = math::IdentityOperator<math::Vectors<T>>;

// The caller's function. It is not called for a vector, which is too short for its loop to become
// vector code: kernels put whole rows through it, and what follows takes the results as they are.
template <class T>
struct BlockOperator {
    BlockFunction<T> function;
};

template <class Operator>
constexpr bool takes_blocks = false;
template <class T>
constexpr bool takes_blocks<BlockOperator<T>> = true;

// h in place, through a piece of memory of its own: compilers give up vectors where what is read
// and what is written may be the same.
template <class T>
void apply_in_place(const BlockOperator<T>& h, index_t n, T* x) {
    constexpr index_t most = 512;
    T piece[most];
    for (index_t d = 0; d < n; d += most) {
        const index_t count = n - d < most ? n - d : most;
        std::memcpy(piece, x + d, static_cast<std::size_t>(count) * sizeof(T));
        h.function.values(piece, count, x + d);
    }
}

// Calls body with the operator as a value of its own type: the kernel is compiled once for each,
// and no loop over components asks which it is.
template <class T, class Body>
void with_pointwise(const Observed<T>& observed, Body&& body) {
    const double parameter = observed.parameter;
    switch (observed.kind) {
#define ENFILT_CASE(name, Operator) \
    case Pointwise::name: return body(math::Operator<math::Vectors<T>>(parameter));
        ENFILT_POINTWISE(ENFILT_CASE)
#undef ENFILT_CASE
        case Pointwise::function: return body(BlockOperator<T>{observed.function});
    }
}

ENFILT_CLOSE
