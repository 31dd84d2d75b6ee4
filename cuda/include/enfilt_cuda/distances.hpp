// |x_i - mu_j|^2 for any numbers of points and members, as a tiled sum over components.
//
// Differences are squared and summed in T over 128 components, these sums in float64: see "Exact
// sums" in the performance page of the maths. A block has 64 x 64 pairs and a chunk of components;
// SumPass adds the chunks.
#pragma once

#include "launches.hpp"
#include "members.hpp"

namespace enfilt::cuda {

template <class T>
struct DistancePass {
    static constexpr unsigned threads = 256;
    static constexpr int tile = 64, slab = 32, stride = slab + 1, folded = 4;
    static constexpr std::size_t shared_bytes = 2 * tile * stride * sizeof(T);

    const T* x;  // (M, D)
    index_t points;
    Members<T> members;
    Blend<T> centre;
    double* partial;  // (M, N, chunks)

    static index_t tiles(index_t points, index_t members) {
        return divide_up(points, tile) * divide_up(members, tile);
    }
    // As many as keep the GPU busy; the number follows from it and the sizes, and so do results.
    static index_t chunks(index_t points, index_t members, index_t dim) {
        const index_t all = blocks_at_once<DistancePass>(shared_bytes);
        const index_t wanted = larger(1, all / tiles(points, members));
        return smaller(wanted, divide_up(dim, slab * folded));
    }
    Grid grid(index_t ensembles) const {
        return {count_of(tiles(points, members.count)),
                count_of(chunks(points, members.count, members.dim)), count_of(ensembles)};
    }
    ENFILT_DEVICE DistancePass of(index_t ensemble, index_t parts) const {
        return {x + ensemble * points * members.dim, points, members.of(ensemble), centre,
                partial + ensemble * points * members.count * parts};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        of(c.ensemble(), c.rows()).run(c);
    }

    template <class Context>
    ENFILT_DEVICE void run(Context& c) const {
        T* const a = c.template shared<T>();
        T* const b = a + tile * stride;
        const index_t dim = members.dim;
        const index_t across = divide_up(members.count, tile);
        const index_t first_i = c.block() / across * tile, first_j = c.block() % across * tile;
        const index_t length = divide_up(divide_up(dim, slab), c.rows()) * slab;
        const index_t begin = c.row() * length, end = smaller(dim, begin + length);
        const int row = static_cast<int>(c.thread() / 16), column = static_cast<int>(c.thread() % 16);
        const int k = static_cast<int>(c.thread() % slab), from = static_cast<int>(c.thread() / slab);
        T part[4][4] = {};
        double sum[4][4] = {};
        int held = 0;
        for (index_t first = begin; first < end; first += slab) {
            const index_t d = first + k;
            for (int r = from; r < tile; r += static_cast<int>(threads) / slab) {
                const index_t i = first_i + r, j = first_j + r;
                a[r * stride + k] = d < end && i < points ? x[i * dim + d] : T(0);
                b[r * stride + k] = d < end && j < members.count ? centre(members, j, d) : T(0);
            }
            c.sync();
ENFILT_UNROLL(8)
            for (int s = 0; s < slab; ++s) {
                T u[4], v[4];
                for (int r = 0; r < 4; ++r) {
                    u[r] = a[(row + 16 * r) * stride + s];
                    v[r] = b[(column + 16 * r) * stride + s];
                }
                for (int p = 0; p < 4; ++p)
                    for (int q = 0; q < 4; ++q) {
                        const T difference = u[p] - v[q];
                        part[p][q] += difference * difference;
                    }
            }
            if (++held == folded || first + slab >= end) {
                held = 0;
                for (int p = 0; p < 4; ++p)
                    for (int q = 0; q < 4; ++q) {
                        sum[p][q] += static_cast<double>(part[p][q]);
                        part[p][q] = 0;
                    }
            }
            c.sync();
        }
        for (int p = 0; p < 4; ++p)
            for (int q = 0; q < 4; ++q) {
                const index_t i = first_i + row + 16 * p, j = first_j + column + 16 * q;
                if (i < points && j < members.count)
                    partial[(i * members.count + j) * c.rows() + c.row()] = sum[p][q];
            }
    }
};

}  // namespace enfilt::cuda
