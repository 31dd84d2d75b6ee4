// The ensemble-pairwise Monte Carlo estimator on its own: points x_i against Gaussian components,
//
//     w_ij = softmax_j( -|x_i - mu_j|^2 / (2 s^2) + l_j ),   mu_j = a1 x1_j + a0 x0_j
//     out_i = ratio x_i + sum_j w_ij (b1 x1_j + b0 x0_j)
//
// It is the marginal flow field of an affine path, the score of a Gaussian mixture, and the
// weights of both, by choice of the stage's coefficients.
#pragma once

#include "math/velocity.hpp"
#include "tiles.hpp"

ENFILT_OPEN

// to_j = c1 x1_j + c0 x0_j for a block of all members; x0 may be null.
template <class T>
void combine_members(const T* x1, const T* x0, index_t members, index_t dim, index_t first,
                     index_t n, double c1, double c0, T* to, index_t stride) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const T one = static_cast<T>(c1), zero = static_cast<T>(c0);
    const bool use_x1 = c1 != 0, use_x0 = x0 && c0 != 0;
    for (index_t j = 0; j < members; ++j) {
        const T* row1 = x1 + j * dim + first;
        const T* row0 = use_x0 ? x0 + j * dim + first : nullptr;
        T* row = to + j * stride;
        for (index_t d = 0; d < n; d += lanes) {
            vec_t<T> sum = {};
            if (use_x1) sum = one * load_up_to(row1 + d, n - d);
            if (use_x0) sum = zero * load_up_to(row0 + d, n - d) + sum;
            store(row + d, sum);
        }
    }
}

using math::FieldForm;

template <class T>
void squared_distances(const PairwiseProblem<T>& p) {
    const Blocks<T> blocks(p.points + p.members, p.dim, p.points * p.members,
                           p.points + p.members);
    const Scratch<T> scratch(tiled(p.points) + tiled(p.members), blocks.stride, blocks.team);
    const PartialSums<T> sums(blocks, p.points * p.members);
    sums.clear();
    blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
        T* point = scratch.of(thread);
        T* centre = point + tiled(p.points) * blocks.stride;
        for (index_t i = 0; i < p.points; ++i)
            fetch(p.x + i * p.dim + first, n, point + i * blocks.stride);
        combine_members(p.x1, p.x0, p.members, p.dim, first, n, p.stage.a1, p.stage.a0, centre,
                        blocks.stride);
        add_pairwise<SquaredDifference>(point, p.points, centre, p.members, blocks.stride, n,
                                        sums.of(chunk));
    });
    sums.total(p.squared_distances);
}

ENFILT_CLOSE
