// The sums over components from which RMSE, spread, CRPS, rank histogram and energy score follow,
// in one pass over the ensemble.
//
// A block has some columns of all members and the truth in shared memory. A thread goes down a
// column for its mean, variance and rank; then it turns to a 4 x 4 tile of pairs of rows, the truth
// being one, for squares and sizes of their differences. Of CRPS = 1/N sum_j |x_j - y| -
// 1/N^2 sum_{j<k} |x_j - x_k| a pair's part is that of all components: nothing is looked at twice.
#pragma once

#include "launches.hpp"
#include "sums.hpp"

namespace enfilt::cuda {

// Which pairs of rows, members and the truth behind them, are in a tile: tiles stand row by row on
// and above the diagonal.
struct ScoreTiles {
    static constexpr int tile = 4;
    int members, down;

    ENFILT_BOTH explicit ScoreTiles(index_t n)
        : members(static_cast<int>(n)), down((members + tile) / tile) {}
    ENFILT_BOTH int count() const { return down * (down + 1) / 2; }
    ENFILT_BOTH void place(int which, int& row, int& column) const {
        for (row = 0; which >= down - row; ++row) which -= down - row;
        column = row + which;
    }
};

// Columns at a time are as many as there are threads, fewer where there are too many members for that.
template <class T, int Columns>
struct ScorePass {
    static constexpr unsigned threads = 128;
    static constexpr int columns = Columns, stride = columns + 1;
    static constexpr unsigned resident = sizeof(T) == sizeof(float) && Columns == 128 ? 5 : 3;
    static constexpr int tile = ScoreTiles::tile, numbers = 4, lanes = static_cast<int>(warp_size);
    static constexpr std::size_t room = 96 * 1024;  // as of the small pass

    const T* x;      // (N, D)
    const T* truth;  // (D,)
    index_t members, dim;
    double* sums;               // (4, blocks, rows): squared error, variance, CRPS, mean |x - truth|
    double* pairs;              // (tiles, tile, tile, blocks)
    unsigned long long* ranks;  // (N + 1,), zeros before

    static bool fits(index_t members) { return bytes(members) <= room; }
    static std::size_t bytes(index_t members) {
        const auto rows = static_cast<std::size_t>(ScoreTiles(members).down * tile);
        const std::size_t stood = rows * stride * sizeof(T);
        const std::size_t added = threads * tile * tile * sizeof(double);
        return (stood > added ? stood : added) + counts_bytes(members);
    }
    std::size_t shared_bytes() const { return bytes(members); }
    Grid grid() const {
        const index_t all = blocks_at_once<ScorePass>(shared_bytes());
        const index_t rows = divide_up(ScoreTiles(members).count(), threads);
        return {count_of(larger(1, smaller(divide_up(dim, columns), all / rows))), count_of(rows)};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const int n = static_cast<int>(members), t = static_cast<int>(c.thread());
        const int all = static_cast<int>(threads);
        const ScoreTiles tiles(members);
        unsigned* const counts = c.template shared<unsigned>();
        T* const rows = c.template shared<T>() + counts_bytes(members) / sizeof(T);
        for (int k = t; k <= n; k += all) counts[k] = 0;
        // what pads the last tile
        for (int e = (n + 1) * stride + t; e < tiles.down * tile * stride; e += all) rows[e] = T(0);
        const int first_tile = static_cast<int>(c.row()) * all, left = tiles.count() - first_tile;
        const int here = left < all ? left : all;
        const int groups = all / here < columns ? all / here : columns, group = t / here;
        int i = 0, j = 0;
        tiles.place(first_tile + t % here, i, j);
        const T *const a = rows + i * tile * stride, *const b = rows + j * tile * stride;
        double squared_error = 0, variance = 0, apart = 0, absolute = 0;
        double sum[tile][tile] = {};
        for (index_t first = static_cast<index_t>(c.block()) * columns; first < dim;
             first += static_cast<index_t>(c.blocks()) * columns) {
            read(first, t, rows);
            c.sync();
            if (c.row() == 0 && t < columns && first + t < dim)
                look_down(c, rows + t, counts, squared_error, variance);
            if (group < groups) add(group, groups, i, j, a, b, sum, apart, absolute);
            c.sync();
        }
        const double share = 1.0 / static_cast<double>(members);
        const double of_each[numbers] = {squared_error, variance,
                                         share * absolute - share * share * apart,
                                         share * absolute};
        double* const shared = reinterpret_cast<double*>(rows);
        const index_t parts = static_cast<index_t>(c.blocks()) * c.rows();
        for (int s = 0; s < numbers; ++s) {
            const double whole = block_sum(c, threads, of_each[s], shared);
            if (t == 0) sums[s * parts + c.row() * c.blocks() + c.block()] = whole;
            c.sync();
        }
        write(c, group < groups, here, groups, first_tile, sum, shared);
        for (int k = t; k <= n; k += all)
            if (counts[k]) c.add(ranks + k, static_cast<unsigned long long>(counts[k]));
    }

  private:
    ENFILT_BOTH static std::size_t counts_bytes(index_t members) {
        return static_cast<std::size_t>(divide_up(members + 1, 4)) * 16;
    }

    // Members and truth; zeros, which are no difference, beyond the last column.
    ENFILT_DEVICE void read(index_t first, int t, T* rows) const {
        constexpr int across = columns < lanes ? columns : lanes, each = columns / across;
        constexpr int down = static_cast<int>(threads) / across;
        const int n = static_cast<int>(members), lane = t % across;
        const int left = static_cast<int>(smaller(dim - first, columns)) - lane;
        ENFILT_UNROLL(1)
        for (int r = t / across; r <= n; r += down) {
            const T* const from = (r < n ? x + r * dim : truth) + first + lane;
            T value[each];
            ENFILT_UNROLL(4)
            for (int q = 0; q < each; ++q) value[q] = q * across < left ? from[q * across] : T(0);
            ENFILT_UNROLL(4)
            for (int q = 0; q < each; ++q) rows[r * stride + lane + q * across] = value[q];
        }
    }

    // Mean, variance and rank of a column.
    template <class Context>
    ENFILT_DEVICE void look_down(Context& c, const T* column, unsigned* counts,
                                 double& squared_error, double& variance) const {
        const int n = static_cast<int>(members);
        const T at = column[n * stride], share = T(1) / static_cast<T>(n);
        T mean = 0, squares = 0;
        int below = 0;
        ENFILT_UNROLL(4)
        for (int k = 0; k < n; ++k) {
            const T difference = column[k * stride] - at;
            mean += difference;
            below += difference < 0;
        }
        mean *= share;
        ENFILT_UNROLL(4)
        for (int k = 0; k < n; ++k) {
            const T anomaly = column[k * stride] - at - mean;
            squares += anomaly * anomaly;
        }
        squared_error += static_cast<double>(mean * mean);
        if (n > 1) variance += static_cast<double>(squares / static_cast<T>(n - 1));
        c.add(counts + below, 1u);
    }

    ENFILT_DEVICE void add(int group, int groups, int i, int j, const T* a, const T* b,
                           double (&sum)[tile][tile], double& apart, double& absolute) const {
        T part[tile][tile] = {}, size[tile][tile] = {};
        a += group, b += group;
        for (int k = group; k < columns; k += groups, a += groups, b += groups) {
            T u[tile], v[tile];
            for (int r = 0; r < tile; ++r) u[r] = a[r * stride], v[r] = b[r * stride];
            for (int p = 0; p < tile; ++p)
                for (int q = 0; q < tile; ++q) {
                    const T difference = u[p] - v[q];
                    part[p][q] += difference * difference;
                    size[p][q] += std::fabs(difference);
                }
        }
        const int n = static_cast<int>(members);
        T of_pairs = 0, of_truth = 0;
        for (int p = 0; p < tile; ++p)
            for (int q = 0; q < tile; ++q) {
                sum[p][q] += static_cast<double>(part[p][q]);
                const int row = i * tile + p, column = j * tile + q;
                if (row < column && column < n) of_pairs += size[p][q];
                if (row < n && column == n) of_truth += size[p][q];
            }
        apart += static_cast<double>(of_pairs), absolute += static_cast<double>(of_truth);
    }

    template <class Context>
    ENFILT_DEVICE void write(Context& c, bool adds, int here, int groups, int first_tile,
                             const double (&sum)[tile][tile], double* shared) const {
        const int t = static_cast<int>(c.thread()), all = static_cast<int>(threads);
        if (adds)
            for (int p = 0; p < tile; ++p)
                for (int q = 0; q < tile; ++q) shared[(p * tile + q) * all + t] = sum[p][q];
        c.sync();
        for (int e = t; e < here * tile * tile; e += all) {
            const int which = e % here, place = e / here;
            double total = 0;
            for (int g = 0; g < groups; ++g) total += shared[place * all + g * here + which];
            pairs[((first_tile + which) * index_t{tile * tile} + place) * c.blocks() + c.block()] =
                total;
        }
    }
};

// Sums of pairs from tiles to where they are asked for.
struct ScorePairsPass {
    static constexpr unsigned threads = 128;
    const double* tiles;  // (tiles, tile, tile)
    index_t members;
    double* to_members;  // (N, N)
    double* to_truth;    // (N,)

    Grid grid() const {
        return {count_of(divide_up(ScoreTiles(members).count(), threads)), 1};
    }
    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        constexpr int tile = ScoreTiles::tile;
        const ScoreTiles all(members);
        const int which = static_cast<int>(c.block() * threads + c.thread());
        if (which >= all.count()) return;
        int i = 0, j = 0;
        all.place(which, i, j);
        for (int place = 0; place < tile * tile; ++place) {
            const index_t row = i * tile + place / tile, column = j * tile + place % tile;
            const double sum = tiles[which * index_t{tile * tile} + place];
            if (row < members && column == members) to_truth[row] = sum;
            if (row >= members || column >= members || row > column) continue;
            to_members[row * members + column] = sum;
            to_members[column * members + row] = sum;
        }
    }
};

// Counts kept as zeros until a kernel adds to them.
template <class U>
struct ZeroPass {
    static constexpr unsigned threads = 128;
    U* to;
    index_t count;

    Grid grid() const { return {count_of(divide_up(count, threads)), 1}; }
    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t k = static_cast<index_t>(c.block()) * threads + c.thread();
        if (k < count) to[k] = U(0);
    }
};

// out = x where a flag on the device is set: without observations the analysis is the forecast,
// and whether there are any is not known on the host.
template <class T>
struct CopyWherePass {
    static constexpr unsigned threads = 256;
    const bool* flags;  // of each ensemble
    const T* x;
    T* out;
    index_t count;  // of numbers in an ensemble

    Grid grid(index_t ensembles) const {
        const index_t all = blocks_at_once<CopyWherePass>(0);
        return {count_of(smaller(divide_up(count, threads), all)), 1, count_of(ensembles)};
    }
    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        if (!flags[c.ensemble()]) return;
        const index_t first = c.ensemble() * count;
        for (index_t k = static_cast<index_t>(c.block()) * threads + c.thread(); k < count;
             k += static_cast<index_t>(c.blocks()) * threads)
            out[first + k] = x[first + k];
    }
};

}  // namespace enfilt::cuda
