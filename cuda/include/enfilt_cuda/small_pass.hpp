// One pass over memory a step, for few points and members: a block makes the points of 128
// components at a time, writes them, and adds up their share of the distances to the centres of
// the *next* step while they are in shared memory. Between two steps only N x N sums remain.
//
// A thread makes a component of all points; then it turns to a 4 x 4 tile of pairs and a part of
// the block's components.
#pragma once

#include "advance.hpp"
#include "members.hpp"
#include "mix.hpp"

namespace enfilt::cuda {

// Tiles of pairs are no more than a block has threads, and shared memory no more than every GPU from
// sm_80 on has for a block: 32 members in float32, 28 in float64.
constexpr index_t small_members = 32;
constexpr std::size_t small_memory = 96 * 1024;

// Weights that a thread reads at once: they, not memory, would else be what a step waits for.
template <class T>
struct alignas(16) Four {
    T of[4];
};

// Points as they stand in memory.
template <class T>
struct GivenPoints {
    const T* x;
    index_t count, dim;

    static constexpr bool mixes = false;
    static constexpr unsigned resident = 5;
    ENFILT_BOTH Blend<T> target() const { return {0.0, 0.0}; }
    ENFILT_BOTH bool draws() const { return false; }
    ENFILT_DEVICE void draw(int, index_t, int, T*) const {}
    template <class Context>
    ENFILT_DEVICE void prepare(Context&, Four<T>*) const {}
    ENFILT_DEVICE void make(index_t d, const Four<T>*, const T*, int stride, T* to) const {
        for (index_t i = 0; i < count; ++i) to[i * stride] = x[i * dim + d];
    }
};

// Points that the weights of a step move.
template <class T, class Advance>
struct SteppedPoints {
    T* z;  // (M, D), in place
    index_t count, dim, members;
    Blend<T> mixed;
    WeightRows<T> weights;
    Advance advance;

    static constexpr bool mixes = true;
    static constexpr unsigned resident = Advance::resident;
    static constexpr int together = 4;
    ENFILT_BOTH Blend<T> target() const { return mixed; }
    ENFILT_BOTH bool draws() const { return advance.draws(); }

    // Normals of all points for the columns from `first` on, to where the points will stand.
    ENFILT_DEVICE void draw(int thread, index_t first, int stride, T* to) const {
        advance.draw(thread, first, count, stride, to);
    }

    ENFILT_BOTH static index_t padded(index_t rows) { return divide_up(rows, together) * together; }

    // The weights transposed, (N, padded M), and behind them the columns of one-hot rows.
    template <class Context>
    ENFILT_DEVICE void prepare(Context& c, Four<T>* memory) const {
        const index_t rows = padded(count);
        for (index_t e = c.thread(); e < members * rows; e += 128) {
            const index_t i = e % rows, j = e / rows;
            memory[e / together].of[e % together] = i < count ? weights.w[i * members + j] : T(0);
        }
        int* const single = reinterpret_cast<int*>(memory + members * rows / together);
        for (index_t i = c.thread(); i < rows; i += 128)
            single[i] = i < count ? weights.single[i] : 0;
    }

    ENFILT_DEVICE void make(index_t d, const Four<T>* memory, const T* target, int stride,
                            T* to) const {
        // few enough for 32 bits, of which an address is one instruction
        const int points = static_cast<int>(count), terms = static_cast<int>(members);
        const int quads = static_cast<int>(padded(count)) / together;
        const int* const single = reinterpret_cast<const int*>(memory + terms * quads);
        const auto seen = advance.seen(d);
        for (int i = 0; i < points; i += together) {
            T at[together], pull[together] = {};
            for (int r = 0; r < together; ++r)
                at[r] = i + r < points ? z[(i + r) * dim + d] : T(0);
            // one-hot all four: their signs are clear
            if ((single[i] | single[i + 1] | single[i + 2] | single[i + 3]) >= 0) {
                for (int r = 0; r < together; ++r) pull[r] = target[single[i + r] * stride];
            } else {
                const T* value = target;
                const Four<T>* weight = memory + i / together;
                ENFILT_UNROLL(4)
                for (int j = 0; j < terms; ++j, value += stride, weight += quads) {
                    const Four<T> of = *weight;
                    for (int r = 0; r < together; ++r) pull[r] += of.of[r] * *value;
                }
            }
            ENFILT_UNROLL(4)
            for (int r = 0; r < together; ++r) {
                if (i + r >= points) continue;
                const T moved =
                    advance.with(seen, i + r, d, at[r], pull[r], to + (i + r) * stride);
                z[(i + r) * dim + d] = moved;
                to[(i + r) * stride] = moved;
            }
        }
    }
};

template <class T, class Points>
struct SmallPass {
    static constexpr unsigned threads = 128;
    static constexpr int columns = 128, stride = columns + 1, tile = 4, loaded = 4;
    // as many as shared memory has room for with 20 members
    static constexpr unsigned resident = sizeof(T) == sizeof(float) ? Points::resident : 3;

    Points points;
    Members<T> members;
    Blend<T> centre;
    double* partial;  // (M, N, blocks); null: no distances

    static index_t blocks(index_t dim) { return smaller(divide_up(dim, columns), 2112); }
    Grid grid() const { return {count_of(blocks(members.dim)), 1}; }

    // Room for what Points::prepare() makes, in numbers.
    ENFILT_BOTH static index_t weight_count(index_t points_count, index_t members_count) {
        return Points::mixes ? (members_count + 2) * divide_up(points_count, 4) * 4 : 0;
    }
    std::size_t shared_bytes() const { return shared_bytes(points.count, members.count); }
    static std::size_t shared_bytes(index_t points_count, index_t members_count) {
        const auto m = static_cast<std::size_t>(points_count);
        const auto n = static_cast<std::size_t>(members_count);
        // and what a tile reads beyond the last rows, of which nothing comes
        const std::size_t beyond = tile - 1, mixed = Points::mixes ? n : 0;
        const std::size_t rows = m + n + (mixed > beyond ? mixed : beyond);
        const auto weights = static_cast<std::size_t>(weight_count(points_count, members_count));
        const std::size_t bytes = (rows * stride + weights) * sizeof(T);
        const std::size_t sums = threads * tile * tile * sizeof(double);
        return bytes > sums ? bytes : sums;
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const int m = static_cast<int>(points.count), n = static_cast<int>(members.count);
        const int t = static_cast<int>(c.thread());
        Four<T>* const weights = c.template shared<Four<T>>();
        T* const z = c.template shared<T>() + weight_count(m, n);
        T* const centres = z + m * stride;
        T* const targets = centres + n * stride;
        const Blend<T> target = points.target();
        const int tiles_across = (n + tile - 1) / tile;
        const int tiles = (m + tile - 1) / tile * tiles_across;
        const int groups = columns / tiles;
        const int group = t / tiles;
        const bool adds = partial && group < groups;
        // the first of a tile's rows; the others are at distances that the compiler knows
        const T* const a = z + t % tiles / tiles_across * tile * stride;
        const T* const b = centres + t % tiles % tiles_across * tile * stride;
        double sum[tile][tile] = {};
        points.prepare(c, weights);
        c.sync();
        for (index_t first = static_cast<index_t>(c.block()) * columns; first < members.dim;
             first += static_cast<index_t>(c.blocks()) * columns) {
            const index_t d = first + t;
            if (points.draws()) {
                points.draw(t, first, stride, z);
                c.sync();
            }
            if (d < members.dim) {
                for (int j = 0; j < n; j += loaded)
                    blend(j, d, target, centres + t, targets + t);
                points.make(d, weights, targets + t, stride, z + t);
            } else if (partial) {
                for (int i = 0; i < m; ++i) z[i * stride + t] = T(0);
                for (int j = 0; j < n; ++j) centres[j * stride + t] = T(0);
            }
            c.sync();
            if (adds) add(group, groups, a, b, sum);
            c.sync();
        }
        if (partial) write(c, group, groups, tiles, tiles_across, sum);
    }

  private:
    // Centres and targets of some members; all are read before any is written, as memory is far.
    ENFILT_DEVICE void blend(int first, index_t d, const Blend<T>& target, T* centres,
                             T* targets) const {
        const int n = static_cast<int>(members.count);
        T x1[loaded], x0[loaded] = {};
        index_t at = first * members.dim + d;
        ENFILT_UNROLL(4)
        for (int r = 0; r < loaded; ++r) {
            x1[r] = members.x1[at];
            if (members.x0) x0[r] = members.x0[at];
            if (first + r + 1 < n) at += members.dim;  // the last again
        }
        ENFILT_UNROLL(4)
        for (int r = 0; r < loaded; ++r) {
            if (first + r >= n) continue;
            if (partial) centres[(first + r) * stride] = centre(x1[r], x0[r]);
            if (Points::mixes) targets[(first + r) * stride] = target(x1[r], x0[r]);
        }
    }

    ENFILT_DEVICE void add(int group, int groups, const T* a, const T* b,
                           double (&sum)[tile][tile]) const {
        T part[tile][tile] = {};
        a += group, b += group;
        for (int k = group; k < columns; k += groups, a += groups, b += groups) {
            T u[tile], v[tile];
            for (int r = 0; r < tile; ++r) u[r] = a[r * stride], v[r] = b[r * stride];
            for (int p = 0; p < tile; ++p)
                for (int q = 0; q < tile; ++q) {
                    const T difference = u[p] - v[q];
                    part[p][q] += difference * difference;
                }
        }
        for (int p = 0; p < tile; ++p)
            for (int q = 0; q < tile; ++q) sum[p][q] += static_cast<double>(part[p][q]);
    }

    // The groups' sums of a pair, in their order.
    template <class Context>
    ENFILT_DEVICE void write(Context& c, int group, int groups, int tiles, int tiles_across,
                             const double (&sum)[tile][tile]) const {
        double* const shared = c.template shared<double>();
        const int t = static_cast<int>(c.thread());
        if (group < groups)
            for (int p = 0; p < tile; ++p)
                for (int q = 0; q < tile; ++q)
                    shared[(p * tile + q) * static_cast<int>(threads) + t] = sum[p][q];
        c.sync();
        for (int e = t; e < tiles * tile * tile; e += static_cast<int>(threads)) {
            const int which = e % tiles, place = e / tiles;
            const index_t i = which / tiles_across * tile + place / tile;
            const index_t j = which % tiles_across * tile + place % tile;
            if (i >= points.count || j >= members.count) continue;
            double total = 0;
            for (int g = 0; g < groups; ++g)
                total += shared[place * static_cast<int>(threads) + g * tiles + which];
            partial[(i * members.count + j) * c.blocks() + c.block()] = total;
        }
    }
};

}  // namespace enfilt::cuda
