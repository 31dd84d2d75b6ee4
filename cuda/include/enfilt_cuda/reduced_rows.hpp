// The rows of the reduced form (reduced.hpp of the core tells what it is), made as they are needed:
// A1 and A0, the drift m0 - m1, the innovation y - m1, m1, and the normals of each member.
#pragma once

#include "observed.hpp"

namespace enfilt::cuda {

// Where rows stand in Gram matrices and coefficients. Of the normals a member has its own alone:
// coefficients have one column for it, the last.
struct RowLayout {
    int members, spanned;  // spanned: rows of A1 and A0

    RowLayout(index_t n, bool two)
        : members(static_cast<int>(n)), spanned(two ? 2 * members : members) {}

    ENFILT_BOTH int drift() const { return spanned; }
    ENFILT_BOTH int innovation() const { return spanned + 1; }
    ENFILT_BOTH int mean() const { return spanned + 2; }
    ENFILT_BOTH int noise() const { return spanned + 3; }
    ENFILT_BOTH int rows() const { return noise() + members; }
    ENFILT_BOTH int stored() const { return noise() + 1; }  // coefficients of a member
};

// What the rows need of a component beside the members; y is m1 where nothing is observed.
template <class T>
struct Centre {
    T mean1, mean0, y;
};

template <class T>
struct ReducedRows {
    RowLayout at;
    index_t dim;
    const T *x1, *x0;  // (N, D); x0 may be null
    const T* noise;    // (N, D)
    Centre<T>* centre;    // (D,)
    std::uint8_t* group;  // (D,): of its 1/r^2

    // Float32 data are exact in U = double, and so are their differences but for a rounding.
    template <class U>
    ENFILT_DEVICE U value(int r, index_t d, const Centre<T>& of) const {
        if (r < at.members) return static_cast<U>(x1[r * dim + d]) - static_cast<U>(of.mean1);
        if (r < at.spanned)
            return static_cast<U>(x0[(r - at.members) * dim + d]) - static_cast<U>(of.mean0);
        if (r >= at.noise()) return static_cast<U>(noise[(r - at.noise()) * dim + d]);
        const U from = static_cast<U>(r == at.drift() ? of.mean0 : of.y);
        return r == at.mean() ? static_cast<U>(of.mean1) : from - static_cast<U>(of.mean1);
    }
};

// Means over members, and what is observed: once for all passes that make rows, which have to take
// the same means.
template <class T>
struct CentrePass {
    static constexpr unsigned threads = 128;
    ReducedRows<T> rows;
    bool observes;
    Observed<T> observed;
    const double* precisions;  // (groups,); the first is of what is not observed
    index_t groups;
    int* used;  // (groups,), zeros before: whether a group has components

    Grid grid() const { return {count_of(divide_up(rows.dim, threads)), 1}; }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const index_t d = static_cast<index_t>(c.block()) * threads + c.thread();
        if (d >= rows.dim) return;
        Centre<T> at;
        at.mean1 = at.mean0 = mean(rows.x1, d);
        if (rows.x0) at.mean0 = mean(rows.x0, d);
        at.y = at.mean1;
        index_t group = 0;
        if (observes) {
            const Seen<T> seen = observation_of(observed, d);
            for (index_t g = 1; g < groups; ++g)
                if (seen.weight == static_cast<T>(precisions[g])) group = g;
            if (group > 0) at.y = seen.y;
        }
        rows.centre[d] = at;
        rows.group[d] = static_cast<std::uint8_t>(group);
        used[group] = 1;  // whoever is last writes the same
    }

  private:
    ENFILT_DEVICE T mean(const T* x, index_t d) const {
        double sum = 0;
        for (index_t j = 0; j < rows.at.members; ++j)
            sum += static_cast<double>(x[j * rows.dim + d]);
        return static_cast<T>(sum / static_cast<double>(rows.at.members));
    }
};

// Those of a run of components, one for each thread of a block, that are of one group.
template <unsigned threads>
struct GroupOfRun {
    static constexpr int warps = threads / warp_size;
    static constexpr std::size_t shared_bytes = (threads + warps) * sizeof(int);

    int* order;  // their places in the run, ascending

    // Returns how many there are; behind it `order` stands, until the next call.
    template <class Context>
    ENFILT_DEVICE int gather(Context& c, const std::uint8_t* group, index_t first, index_t end,
                             index_t wanted) const {
        int* const counts = order + threads;
        const int t = static_cast<int>(c.thread()), warp = t / static_cast<int>(warp_size);
        const bool is_of_it = first + t < end && group[first + t] == wanted;
        int left = is_of_it ? 1 : 0;  // from this lane to the end of the warp
        for (unsigned step = 1; step < warp_size; step *= 2) {
            const int more = c.shuffle_down(left, step);
            if (c.thread() % warp_size + step < warp_size) left += more;
        }
        if (c.thread() % warp_size == 0) counts[warp] = left;
        c.sync();
        int all = 0, place = 0;
        for (int w = 0; w < warps; ++w) {
            all += counts[w];
            if (w == warp) place = all - left;
        }
        if (is_of_it) order[place] = t;
        c.sync();
        return all;
    }
};

}  // namespace enfilt::cuda
