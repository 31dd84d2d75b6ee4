// What observations say of whole members: their misfit, and the Gram matrices of their anomalies.
#pragma once

#include "observed.hpp"
#include "operators.hpp"
#include "tiles.hpp"

ENFILT_OPEN

// to_j = h(x_j) - mean_j h(x_j) on observed components of a block, 0 elsewhere.
template <class T, class Operator>
void observed_anomalies(Operator h, const T* x, const T* weight, index_t members, index_t stride,
                        index_t n, T* to) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const T share = T(1) / static_cast<T>(members);
    for (index_t d = 0; d < n; d += lanes) {
        const ivec_t<T> seen = load(weight + d) > T(0);
        vec_t<T> mean = {};
        for (index_t j = 0; j < members; ++j) {
            const vec_t<T> value = select<T>(seen, h.value(load(x + j * stride + d)), vec_t<T>{});
            store(to + j * stride + d, value);
            mean += value;
        }
        mean *= share;
        for (index_t j = 0; j < members; ++j)
            store(to + j * stride + d, load(to + j * stride + d) - mean);
    }
}

template <class T>
void observed_anomalies(BlockOperator<T> h, const T* x, const T* weight, index_t members,
                        index_t stride, index_t n, T* to) {
    for (index_t j = 0; j < members; ++j) h.function.values(x + j * stride, n, to + j * stride);
    observed_anomalies<T>(IdentityOperator<T>(0), to, weight, members, stride, n, to);
}

// J(x_i) = 1/2 sum_k ((y_k - h_k(x_i)) / r_k)^2 over the observed components, for every member.
template <class T>
void misfit(const T* x, index_t members, index_t dim, const Observed<T>& observed, double* out) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const Blocks<T> blocks(members, dim, members, members);
    const Scratch<T> scratch(3, blocks.stride, blocks.team);
    const PartialSums<T> sums(blocks, members);
    sums.clear();
    with_pointwise<T>(observed, [&](auto h) {
        blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            T* y = scratch.of(thread);
            T* weight = y + blocks.stride;
            T* values = weight + blocks.stride;
            spread_observations(observed, first, n, y, weight);
            for (index_t i = 0; i < members; ++i) {
                const T* at = x + i * dim + first;
                if constexpr (takes_blocks<decltype(h)>) h.function.values(at, n, values);
                const auto value = [&](index_t d) {
                    if constexpr (takes_blocks<decltype(h)>)
                        return load(values + d);
                    else
                        return h.value(load_up_to(at + d, n - d));
                };
                vec_t<T> sum = {};
                for (index_t d = 0; d < n; d += lanes) {
                    const vec_t<T> w = load(weight + d);
                    const vec_t<T> miss = load(y + d) - value(d);
                    sum += select<T>(w > T(0), w * miss * miss, vec_t<T>{});
                }
                sums.of(chunk)[i] += 0.5 * add_lanes(sum);
            }
        });
    });
    sums.total(out);
}

// states_jk = A_j A_k^T and observed_jk = Y_j R^-1 Y_k^T, for the anomalies A of x and Y of h(x).
template <class T>
void anomaly_grams(const T* x, index_t members, index_t dim, const Observed<T>& observed,
                   double* states, double* observed_gram) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const Blocks<T> blocks(3 * members, dim, 2 * members * members, 2 * members);
    const index_t ensemble = tiled(members) * blocks.stride;
    const Scratch<T> scratch(3 * tiled(members) + 2, blocks.stride, blocks.team);
    const PartialSums<T> state_sums(blocks, members * members);
    const PartialSums<T> observed_sums(blocks, members * members);
    state_sums.clear();
    observed_sums.clear();
    const T share = T(1) / static_cast<T>(members);
    with_pointwise<T>(observed, [&](auto h) {
        blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            T* state = scratch.of(thread);
            T* anomaly = state + ensemble;
            T* scaled = anomaly + ensemble;
            T* y = scaled + ensemble;
            T* weight = y + blocks.stride;
            const index_t whole = round_up(n, lanes);
            spread_observations(observed, first, n, y, weight);
            for (index_t j = 0; j < members; ++j)
                fetch(x + j * dim + first, n, state + j * blocks.stride);
            observed_anomalies<T>(h, state, weight, members, blocks.stride, whole, anomaly);
            for (index_t j = 0; j < members; ++j)
                for (index_t d = 0; d < whole; d += lanes)
                    store(scaled + j * blocks.stride + d,
                          load(weight + d) * load(anomaly + j * blocks.stride + d));
            add_pairwise<Product>(scaled, members, anomaly, members, blocks.stride, whole,
                                  observed_sums.of(chunk));
            for (index_t d = 0; d < whole; d += lanes) {
                vec_t<T> mean = {};
                for (index_t j = 0; j < members; ++j) mean += load(state + j * blocks.stride + d);
                mean *= share;
                for (index_t j = 0; j < members; ++j)
                    store(state + j * blocks.stride + d,
                          load(state + j * blocks.stride + d) - mean);
            }
            add_pairwise<Product>(state, members, state, members, blocks.stride, whole,
                                  state_sums.of(chunk));
        });
    });
    state_sums.total(states);
    observed_sums.total(observed_gram);
}

ENFILT_CLOSE
