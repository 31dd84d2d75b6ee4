// Inner products of all rows with A1 and A0, group by group: sums over chunks of components, which
// SumPass adds.
//
// All in float64: a distance is the small difference of these sums. A block has 64 x 64 products
// of one group, on or below the diagonal, a thread 4 x 4 of them and, where that leaves threads
// over, a part of the components.
#pragma once

#include "reduced_rows.hpp"

namespace enfilt::cuda {

template <class T>
struct GramPass {
    static constexpr unsigned threads = 256;
    static constexpr unsigned resident = 3;
    static constexpr int tile = 64, each = 4, apart = tile / each, slab = 32, stride = slab + 1;
    using Run = GroupOfRun<threads>;
    static constexpr std::size_t shared_bytes =
        2 * tile * stride * sizeof(double) + Run::shared_bytes;
    static_assert(threads * each * each <= 2 * tile * stride);  // of the last sums

    ReducedRows<T> rows;
    index_t groups;
    double* partial;  // (groups, rows, A1 and A0, chunks)

    static index_t tiles(const RowLayout& at) {
        const index_t down = divide_up(at.rows(), tile), across = divide_up(at.spanned, tile);
        return across * down - across * (across - 1) / 2;
    }
    // As of DistancePass: the number follows from the GPU and the sizes.
    static index_t chunks(const RowLayout& at, index_t dim) {
        const index_t all = blocks_at_once<GramPass>(shared_bytes);
        return smaller(larger(1, all / tiles(at)), divide_up(dim, threads));
    }
    Grid grid() const {
        return {count_of(tiles(rows.at) * groups), count_of(chunks(rows.at, rows.dim))};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const Place place(*this, c.block());
        double* const a = c.template shared<double>();
        double* const b = place.diagonal ? a : a + tile * stride;
        const Run run{reinterpret_cast<int*>(a + 2 * tile * stride)};
        const index_t length = divide_up(divide_up(rows.dim, threads), c.rows()) * threads;
        const index_t begin = c.row() * length, end = smaller(rows.dim, begin + length);
        const int t = static_cast<int>(c.thread());
        const int parts = static_cast<int>(threads) / place.tiles;
        const int part = t / place.tiles;
        int p, q;
        place.find(t % place.tiles, p, q);
        const double* const u = a + p * stride;
        const double* const v = b + q * stride;
        double sum[each][each] = {};
        for (index_t first = begin; first < end; first += threads) {
            const int count = run.gather(c, rows.group, first, end, place.group);
            for (int from = 0; from < count; from += slab) {
                const int filled = count - from < slab ? count - from : slab;
                fill(c, place, first, run.order + from, filled, a, b);
                c.sync();
                if (part < parts)
                    for (int s = part; s < filled; s += parts) add(u + s, v + s, sum);
                c.sync();
            }
        }
        write(c, place, part, parts, sum);
    }

  private:
    // The tile of a block, and the 4 x 4 tiles in it that are on or below the diagonal.
    struct Place {
        index_t group;
        int first_row, first_column, down, across, tiles;
        bool diagonal;

        ENFILT_DEVICE Place(const GramPass& pass, unsigned block) {
            const RowLayout& at = pass.rows.at;
            group = block % pass.groups;
            int rest = static_cast<int>(block / pass.groups), column = 0;
            const int all = static_cast<int>(divide_up(at.rows(), tile));
            for (; rest >= all - column; ++column) rest -= all - column;
            diagonal = rest == 0;
            first_row = (column + rest) * tile, first_column = column * tile;
            down = small_tiles(at.rows() - first_row);
            across = small_tiles(at.spanned - first_column);
            tiles = diagonal ? across * (across + 1) / 2 + (down - across) * across : down * across;
        }
        ENFILT_DEVICE static int small_tiles(index_t left) {
            return static_cast<int>(divide_up(smaller(left, tile), each));
        }
        ENFILT_DEVICE void find(int number, int& p, int& q) const {
            for (p = 0, q = number;; ++p) {
                const int in_row = diagonal && p + 1 < across ? p + 1 : across;
                if (q < in_row) return;
                q -= in_row;
            }
        }
    };

    // Rows 4 p + r of a tile stand `apart` rows from each other, so that threads beside each other
    // read from different banks.
    ENFILT_DEVICE static int slot(int row) { return row % each * apart + row / each; }

    template <class Context>
    ENFILT_DEVICE void fill(Context& c, const Place& place, index_t first, const int* order,
                            int filled, double* a, double* b) const {
        const int t = static_cast<int>(c.thread()), k = t % slab, from = t / slab;
        if (k >= filled) return;
        const index_t d = first + order[k];
        const Centre<T> centre = rows.centre[d];
        const auto copy = [&](int first_row, int count, int end, double* to) {
            for (int r = from; r < count; r += static_cast<int>(threads) / slab)
                to[slot(r) * stride + k] =
                    first_row + r < end ? rows.template value<double>(first_row + r, d, centre)
                                        : 0.0;
        };
        copy(place.first_row, place.down * each, rows.at.rows(), a);
        if (!place.diagonal)
            copy(place.first_column, place.across * each, rows.at.spanned, b);
    }

    ENFILT_DEVICE static void add(const double* u, const double* v, double (&sum)[each][each]) {
        double left[each], right[each];
        for (int r = 0; r < each; ++r) {
            left[r] = u[r * apart * stride];
            right[r] = v[r * apart * stride];
        }
        for (int p = 0; p < each; ++p)
            for (int q = 0; q < each; ++q) sum[p][q] += left[p] * right[q];
    }

    // The parts of a product in their order, to both sides of the diagonal.
    template <class Context>
    ENFILT_DEVICE void write(Context& c, const Place& place, int part, int parts,
                             const double (&sum)[each][each]) const {
        double* const shared = c.template shared<double>();
        const int t = static_cast<int>(c.thread());
        if (part < parts)
            for (int p = 0; p < each; ++p)
                for (int q = 0; q < each; ++q)
                    shared[(p * each + q) * static_cast<int>(threads) + t] = sum[p][q];
        c.sync();
        const RowLayout& at = rows.at;
        for (int e = t; e < place.tiles * each * each; e += static_cast<int>(threads)) {
            const int which = e % place.tiles, inside = e / place.tiles;
            int p, q;
            place.find(which, p, q);
            const int row = place.first_row + p * each + inside / each;
            const int column = place.first_column + q * each + inside % each;
            if (row >= at.rows() || column >= at.spanned || column > row) continue;
            double total = 0;
            for (int g = 0; g < parts; ++g)
                total += shared[inside * static_cast<int>(threads) + g * place.tiles + which];
            put(c, place.group, row, column, total);
            if (row < at.spanned && column < row) put(c, place.group, column, row, total);
        }
    }

    template <class Context>
    ENFILT_DEVICE void put(Context& c, index_t group, int row, int column, double value) const {
        const index_t which = (group * rows.at.rows() + row) * rows.at.spanned + column;
        partial[which * c.rows() + c.row()] = value;
    }
};

}  // namespace enfilt::cuda
