// The sums from which RMSE, spread, CRPS, energy score and rank histogram follow, in one pass.
#pragma once

#include "tiles.hpp"

ENFILT_OPEN

template <class T>
void ensemble_scores(const ScoreProblem<T>& p) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const index_t n_members = p.members;
    const index_t pairs = n_members * (n_members + 1), width = 4 + pairs + n_members + 1;
    const Blocks<T> blocks(n_members + 4, p.dim, width, n_members);
    const Scratch<T> scratch(2 * tiled(n_members + 1) + 1, blocks.stride, blocks.team);
    const PartialSums<T> sums(blocks, width);
    sums.clear();
    const T share = T(1) / static_cast<T>(n_members);
    blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
        T* x = scratch.of(thread);
        // the truth stands behind the members as one more column of the distances
        T* truth = x + n_members * blocks.stride;
        T* rank = x + 2 * tiled(n_members + 1) * blocks.stride;
        double* sum = sums.of(chunk);
        for (index_t j = 0; j < n_members; ++j) fetch(p.x + j * p.dim + first, n, x + j * blocks.stride);
        fetch(p.truth + first, n, truth);
        vec_t<T> squared_error = {}, variance = {}, crps = {}, absolute = {};
        for (index_t d = 0; d < n; d += lanes) {
            if (n_members > 256) check_interrupt();
            const vec_t<T> at = load(truth + d);
            vec_t<T> mean = {}, below = {}, to_truth = {}, apart = {}, squares = {};
            for (index_t j = 0; j < n_members; ++j) {
                const vec_t<T> member = load(x + j * blocks.stride + d);
                const vec_t<T> difference = member - at;
                mean += difference;
                to_truth += select<T>(difference < T(0), -difference, difference);
                below += select<T>(difference < T(0), broadcast<T>(T(1)), vec_t<T>{});
                for (index_t k = 0; k < j; ++k) {
                    const vec_t<T> gap = member - load(x + k * blocks.stride + d);
                    apart += select<T>(gap < T(0), -gap, gap);
                }
            }
            mean *= share;
            for (index_t j = 0; j < n_members; ++j) {
                const vec_t<T> anomaly = load(x + j * blocks.stride + d) - at - mean;
                squares += anomaly * anomaly;
            }
            squared_error += mean * mean;
            variance += squares;
            crps += share * to_truth - share * share * apart;
            absolute += share * to_truth;
            store(rank + d, below);
        }
        sum[0] += add_lanes(squared_error);
        if (n_members > 1) sum[1] += add_lanes(variance) / static_cast<double>(n_members - 1);
        sum[2] += add_lanes(crps);
        sum[3] += add_lanes(absolute);
        add_pairwise<SquaredDifference>(x, n_members, x, n_members + 1, blocks.stride,
                                        round_up(n, lanes), sum + 4);
        for (index_t d = 0; d < n; ++d) sum[4 + pairs + static_cast<index_t>(rank[d])] += 1;
    });
    Buffer<double> total(static_cast<std::size_t>(width));
    sums.total(total.get());
    p.sums->squared_error = total[0];
    p.sums->variance = total[1];
    p.sums->crps = total[2];
    p.sums->absolute = total[3];
    const double* distance = total.get() + 4;
    for (index_t i = 0; i < n_members; ++i, distance += n_members + 1) {
        for (index_t j = 0; j < n_members; ++j) p.to_members[i * n_members + j] = distance[j];
        p.to_truth[i] = distance[n_members];
    }
    for (index_t k = 0; k <= n_members; ++k)
        p.ranks[k] = static_cast<std::int64_t>(total[static_cast<std::size_t>(4 + pairs + k)]);
}

ENFILT_CLOSE
