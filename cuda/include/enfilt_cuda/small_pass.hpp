// One pass over memory a step, for few points and members: a block makes the points of 128
// components at a time, writes them, and adds up their share of the distances to the centres of
// the *next* step while they are in shared memory. Between two steps only N x N sums remain.
//
// A warp reads members, four columns a thread, so that an address serves four of them; then a thread
// makes a component of all points; then it turns to a 4 x 4 tile of pairs and a part of the block's
// components. What comes next is asked for meanwhile.
#pragma once

#include "advance.hpp"
#include "members.hpp"
#include "mix.hpp"

namespace enfilt::cuda {

// Tiles of pairs are no more than a block has threads, and shared memory no more than every GPU from
// sm_80 on has for a block: 32 members in float32, 28 in float64.
constexpr index_t small_members = 32;
constexpr std::size_t small_memory = 96 * 1024;

// What a thread reads at once: weights, not memory, would else be what a step waits for.
template <class U>
struct alignas(16) Four {
    U of[4];
};

// Points as they stand in memory.
template <class T>
struct GivenPoints {
    const T* x;
    index_t count, dim;

    static constexpr bool mixes = false;
    static constexpr unsigned resident = 5;
    ENFILT_DEVICE GivenPoints of(index_t ensemble) const {
        return {x + ensemble * count * dim, count, dim};
    }
    ENFILT_DEVICE const T* rows() const { return x; }
    ENFILT_BOTH Blend<T> target() const { return {0.0, 0.0}; }
    ENFILT_BOTH bool draws() const { return false; }
    ENFILT_DEVICE void draw(int, index_t, int, T*) const {}
    template <class Context>
    ENFILT_DEVICE void prepare(Context&, Four<T>*) const {}
    ENFILT_DEVICE void make(index_t d, const Four<T>*, const T*, int stride, T* to) const {
        const T* from = x + d;
        const int points = static_cast<int>(count);
        for (int i = 0; i < points; ++i, from += dim) to[i * stride] = *from;
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
    ENFILT_DEVICE SteppedPoints of(index_t ensemble) const {
        return {z + ensemble * count * dim,
                count,
                dim,
                members,
                mixed,
                weights.of(ensemble, count, members),
                advance.of(ensemble)};
    }
    ENFILT_DEVICE const T* rows() const { return z; }
    ENFILT_BOTH Blend<T> target() const { return mixed; }
    ENFILT_BOTH bool draws() const { return advance.draws(); }

    // Normals of all points for the columns from `first` on, to where the points will stand.
    ENFILT_DEVICE void draw(int thread, index_t first, int stride, T* to) const {
        advance.draw(thread, first, count, stride, to);
    }

    // few enough for 32 bits, of which an address is one instruction
    ENFILT_BOTH static int quads(index_t rows) {
        return (static_cast<int>(rows) + together - 1) / together;
    }
    // Members with those that fill up their last four: these weigh nothing.
    ENFILT_BOTH static int padded(index_t rows) { return quads(rows) * together; }

    // The weights transposed, (padded N, quads), and behind them the columns of one-hot rows.
    template <class Context>
    ENFILT_DEVICE void prepare(Context& c, Four<T>* memory) const {
        const int points = static_cast<int>(count), terms = static_cast<int>(members);
        const int rows = padded(count), all = padded(members), t = static_cast<int>(c.thread());
        for (int e = t; e < all * rows; e += 128) {
            const int i = e % rows, j = e / rows;
            memory[e / together].of[e % together] =
                i < points && j < terms ? weights.w[i * terms + j] : T(0);
        }
        auto* const single = reinterpret_cast<Four<int>*>(memory + all * quads(count));
        for (int i = t; i < rows; i += 128)
            single[i / together].of[i % together] = i < points ? weights.single[i] : 0;
    }

    ENFILT_DEVICE void make(index_t d, const Four<T>* memory, const T* target, int stride,
                            T* to) const {
        const int points = static_cast<int>(count), terms = padded(members);
        const int across = quads(count);
        const auto* single = reinterpret_cast<const Four<int>*>(memory + terms * across);
        const auto seen = advance.seen(d);
        T* rows[together];
        for (int r = 0; r < together; ++r) rows[r] = z + r * dim + d;
        for (int i = 0; i < points; i += together, ++single, ++memory, to += together * stride) {
            T at[together], pull[together] = {};
            ENFILT_UNROLL(4)
            for (int r = 0; r < together; ++r) at[r] = i + r < points ? *rows[r] : T(0);
            const Four<int> of = *single;
            // one-hot all four: their signs are clear
            if ((of.of[0] | of.of[1] | of.of[2] | of.of[3]) >= 0) {
                for (int r = 0; r < together; ++r) pull[r] = target[of.of[r] * stride];
            } else {
                const T* value = target;
                const Four<T>* weight = memory;
                ENFILT_UNROLL(1)
                for (int j = 0; j < terms; j += together) {
                    ENFILT_UNROLL(4)
                    for (int k = 0; k < together; ++k, value += stride, weight += across) {
                        const Four<T> w = *weight;
                        for (int r = 0; r < together; ++r) pull[r] += w.of[r] * *value;
                    }
                }
            }
            ENFILT_UNROLL(4)
            for (int r = 0; r < together; ++r) {
                if (i + r < points) {
                    const T moved =
                        advance.with(seen, i + r, d, at[r], pull[r], to + r * stride);
                    *rows[r] = moved;
                    to[r * stride] = moved;
                }
                rows[r] += together * dim;
            }
        }
    }
};

template <class T, class Points>
struct SmallPass {
    static constexpr unsigned threads = 128;
    static constexpr int columns = 128, stride = columns + 1, tile = 4;
    static constexpr int lanes = static_cast<int>(warp_size), warps = static_cast<int>(threads) / lanes;
    static constexpr int each = columns / lanes;  // columns of a thread that reads members
    // as many as shared memory has room for with 20 members
    static constexpr unsigned resident = sizeof(T) == sizeof(float) ? Points::resident : 3;

    Points points;
    Members<T> members;
    Blend<T> centre;
    double* partial;  // (M, N, blocks) of each ensemble; null: no distances

    // As many blocks as run at a time: each goes on to further columns.
    static index_t most_blocks(index_t dim) {
        return smaller(divide_up(dim, columns), larger(1, threads_at_once() / threads));
    }
    Grid grid(index_t ensembles) const {
        const index_t all = blocks_at_once<SmallPass>(shared_bytes());
        return {count_of(smaller(divide_up(members.dim, columns), all)), 1, count_of(ensembles)};
    }

    ENFILT_BOTH static index_t pad(index_t rows) { return divide_up(rows, 4) * 4; }
    // Room for what Points::prepare() makes, in numbers.
    ENFILT_BOTH static index_t weight_count(index_t points_count, index_t members_count) {
        return Points::mixes ? (pad(members_count) + 2) * pad(points_count) : 0;
    }
    std::size_t shared_bytes() const { return shared_bytes(points.count, members.count); }
    static std::size_t shared_bytes(index_t points_count, index_t members_count) {
        const auto m = static_cast<std::size_t>(points_count);
        const auto n = static_cast<std::size_t>(members_count);
        // and what a tile reads beyond the last rows, of which nothing comes
        const std::size_t beyond = tile - 1;
        const std::size_t mixed = Points::mixes ? static_cast<std::size_t>(pad(members_count)) : 0;
        const std::size_t rows = m + n + (mixed > beyond ? mixed : beyond);
        const auto weights = static_cast<std::size_t>(weight_count(points_count, members_count));
        const std::size_t bytes = (rows * stride + weights) * sizeof(T);
        const std::size_t sums = threads * tile * tile * sizeof(double);
        return bytes > sums ? bytes : sums;
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const Points own = points.of(c.ensemble());
        const Members<T> read = members.of(c.ensemble());
        const int m = static_cast<int>(own.count), n = static_cast<int>(read.count);
        const int t = static_cast<int>(c.thread());
        Four<T>* const weights = c.template shared<Four<T>>();
        T* const z = c.template shared<T>() + weight_count(m, n);
        T* const centres = z + m * stride;
        T* const targets = centres + n * stride;
        const int tiles_across = (n + tile - 1) / tile;
        const int tiles = (m + tile - 1) / tile * tiles_across;
        const int groups = columns / tiles;
        const int group = t / tiles;
        const bool adds = partial && group < groups;
        // the first of a tile's rows; the others are at distances that the compiler knows
        const T* const a = z + t % tiles / tiles_across * tile * stride;
        const T* const b = centres + t % tiles % tiles_across * tile * stride;
        double sum[tile][tile] = {};
        own.prepare(c, weights);
        if (Points::mixes)  // what weighs nothing is a number
            for (int e = n * stride + t; e < static_cast<int>(pad(n)) * stride; e += columns)
                targets[e] = T(0);
        const index_t next = static_cast<index_t>(c.blocks()) * columns;
        for (index_t first = static_cast<index_t>(c.block()) * columns; first < read.dim;
             first += next) {
            const index_t d = first + t;
            blend(read, own.target(), first, t, centres, targets);
            if (own.draws()) own.draw(t, first, stride, z);
            prefetch(c, own.rows(), m, read, first + next, t);
            c.sync();
            if (d < read.dim) {
                own.make(d, weights, targets + t, stride, z + t);
            } else if (partial) {
                ENFILT_UNROLL(1)
                for (int i = 0; i < m; ++i) z[i * stride + t] = T(0);
            }
            c.sync();
            if (adds) add(group, groups, a, b, sum);
            c.sync();
        }
        if (partial) write(c, group, groups, tiles, tiles_across, sum);
    }

  private:
    // Centres and targets of all members; those of four columns are read before one is written, as
    // memory is far.
    ENFILT_DEVICE void blend(const Members<T>& read, const Blend<T>& target, index_t first, int t,
                             T* centres, T* targets) const {
        const int n = static_cast<int>(read.count), lane = t % lanes;
        const bool two = read.x0;
        const T* one = read.x1 + (t / lanes) * read.dim + first + lane;
        const T* zero = two ? read.x0 + (t / lanes) * read.dim + first + lane : one;
        centres += t / lanes * stride + lane, targets += t / lanes * stride + lane;
        // columns from this thread's first on
        const int left = static_cast<int>(smaller(read.dim - first, columns)) - lane;
        ENFILT_UNROLL(1)
        for (int j = t / lanes; j < n; j += warps) {
            T x1[each], x0[each] = {};
            ENFILT_UNROLL(4)
            for (int q = 0; q < each; ++q) x1[q] = q * lanes < left ? one[q * lanes] : T(0);
            if (two) {
                ENFILT_UNROLL(4)
                for (int q = 0; q < each; ++q) x0[q] = q * lanes < left ? zero[q * lanes] : T(0);
            }
            ENFILT_UNROLL(4)
            for (int q = 0; q < each; ++q) {
                if (partial) centres[q * lanes] = centre(x1[q], x0[q]);
                if (Points::mixes) targets[q * lanes] = target(x1[q], x0[q]);
            }
            one += warps * read.dim, zero += warps * read.dim;
            centres += warps * stride, targets += warps * stride;
        }
    }

    // What the columns from `first` on take from memory.
    template <class Context>
    ENFILT_DEVICE void prefetch(Context& c, const T* rows, int m, const Members<T>& read,
                                index_t first, int t) const {
        constexpr int line = 128 / static_cast<int>(sizeof(T)), lines = columns / line;
        const index_t d = first + t % lines * line;
        if (d >= read.dim) return;
        const int n = static_cast<int>(read.count);
        ENFILT_UNROLL(1)
        for (int r = t / lines; r < (m > n ? m : n); r += static_cast<int>(threads) / lines) {
            const index_t at = r * read.dim + d;
            if (r < m) c.prefetch(rows + at);
            if (r >= n) continue;
            c.prefetch(read.x1 + at);
            if (read.x0) c.prefetch(read.x0 + at);
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
        double* const to =
            partial + c.ensemble() * points.count * members.count * static_cast<index_t>(c.blocks());
        for (int e = t; e < tiles * tile * tile; e += static_cast<int>(threads)) {
            const int which = e % tiles, place = e / tiles;
            const index_t i = which / tiles_across * tile + place / tile;
            const index_t j = which % tiles_across * tile + place % tile;
            if (i >= points.count || j >= members.count) continue;
            double total = 0;
            for (int g = 0; g < groups; ++g)
                total += shared[place * static_cast<int>(threads) + g * tiles + which];
            to[(i * members.count + j) * c.blocks() + c.block()] = total;
        }
    }
};

}  // namespace enfilt::cuda
