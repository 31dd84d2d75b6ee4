// Lorenz-96 (Lorenz 1996), dx_d/dt = (x_{d+1} - x_{d-2}) x_{d-1} - x_d + F on a ring, by the
// classical Runge-Kutta method, several steps per pass over memory.
//
// One evaluation reaches from d - 2 to d + 1, one step of four evaluations from d - 8 to d + 4.
// A row that fits into cache is stepped there to the end, its ends joined after each evaluation.
// A longer row is cut into tiles; a tile is read with a halo of 8 and 4 components for each of
// its steps, and the halo shrinks as the steps are taken.
#pragma once

#include "blocks.hpp"
#include "math/lorenz96.hpp"

ENFILT_OPEN

namespace lorenz96_detail {

// x, and what the four evaluations need, for up to `capacity` components.
template <class T>
struct Workspace {
    static constexpr index_t margin = 64;  // before and behind: neighbours, whole vectors
    T *x, *stage, *next, *sum;
    explicit Workspace(T* base, index_t capacity) {
        const index_t row = capacity + 2 * margin;
        x = base + margin;
        stage = x + row;
        next = stage + row;
        sum = next + row;
    }
    static index_t size(index_t capacity) { return 4 * (capacity + 2 * margin); }
};

// f at the vectors of [low, high), in order: body(d, f, x). A vector is read once, aligned, and its
// neighbours are made in registers: of two vectors that cross cache lines each would be two reads.
template <class T, class Body>
ENFILT_INLINE void for_each_tendency(const T* x, index_t low, index_t high, T forcing,
                                     Body&& body) {
    constexpr index_t lanes = Blocks<T>::lanes;
    vec_t<T> here = load(x + low);
    vec_t<T> behind = load(x + low - lanes);
    vec_t<T> one_behind = last_then<T>(load(x + low - 2 * lanes), behind);  // x_{d-1}, a vector ago
    for (index_t d = low; d < high; d += lanes) {
        const vec_t<T> next = load(x + d + lanes);
        const vec_t<T> back = last_then<T>(behind, here);
        const vec_t<T> two_back = last_then<T>(one_behind, back);
        const vec_t<T> ahead = then_first<T>(here, next);
        body(d, math::lorenz96_tendency(two_back, back, here, ahead, forcing), here);
        behind = here, here = next, one_behind = back;
    }
}

// One step of the components [low, high). After each evaluation `mend(array)` makes the
// neighbours right (ring), or `shrink` gives up those that are not (tile); what is computed beyond
// them, up to whole vectors, no one reads.
template <class T, class Mend>
ENFILT_INLINE void step(Workspace<T>& w, index_t low, index_t high, index_t shrink, T dt, T forcing,
                        Mend&& mend) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const math::RungeKutta<T> weights(dt);
    const T half = weights.half, sixth = weights.sixth, third = weights.third;
    const auto evaluate = [&](const T* x, auto&& body) {
        low += 2 * shrink, high -= shrink;
        for_each_tendency(x, low / lanes * lanes, high, forcing, body);
    };
    evaluate(w.x, [&](index_t d, vec_t<T> f, vec_t<T> x) {
        store(w.stage + d, x + half * f);
        store(w.sum + d, x + sixth * f);
    });
    mend(w.stage);
    evaluate(w.stage, [&](index_t d, vec_t<T> f, vec_t<T>) {
        store(w.next + d, load(w.x + d) + half * f);
        store(w.sum + d, load(w.sum + d) + third * f);
    });
    mend(w.next);
    evaluate(w.next, [&](index_t d, vec_t<T> f, vec_t<T>) {
        store(w.stage + d, load(w.x + d) + dt * f);
        store(w.sum + d, load(w.sum + d) + third * f);
    });
    mend(w.stage);
    evaluate(w.stage, [&](index_t d, vec_t<T> f, vec_t<T>) {
        store(w.x + d, load(w.sum + d) + sixth * f);
    });
    mend(w.x);
}

// to[k] = row[(first + k) mod dim] for k < n.
template <class T>
void copy_ring(const T* row, index_t dim, index_t first, index_t n, T* to) {
    index_t d = (first % dim + dim) % dim;
    while (n > 0) {
        const index_t run = n < dim - d ? n : dim - d;
        std::memcpy(to, row + d, static_cast<std::size_t>(run) * sizeof(T));
        to += run, n -= run, d = 0;
    }
}

// How rows longer than the cache are cut into tiles, and how many rows are stepped together: all
// of them, or where passes need rows of our own, as many as give each thread its tiles.
template <class T>
struct RowCut {
    static constexpr index_t capacity = 8192 / static_cast<index_t>(sizeof(T));
    static constexpr index_t below = math::lorenz96_below, above = math::lorenz96_above;
    static constexpr index_t steps_a_pass = 16;

    index_t together;

    RowCut(const Lorenz96Problem<T>& p, index_t threads) : together(p.rows) {
        if (!own_rows(p)) return;
        const index_t tiles_a_row = tiles(p, steps_a_pass);
        const index_t enough = (16 * threads + tiles_a_row - 1) / tiles_a_row;
        if (enough < together) together = enough;
    }
    // The tiles of a row read each other's halos, so a pass reads one row and writes another.
    static bool own_rows(const Lorenz96Problem<T>& p) {
        return p.steps > steps_a_pass || p.x == p.out;
    }
    static index_t tile(index_t steps) { return capacity - (below + above) * steps; }
    static index_t tiles(const Lorenz96Problem<T>& p, index_t steps) {
        return (p.dim + tile(steps) - 1) / tile(steps);
    }
};

}  // namespace lorenz96_detail

template <class T>
void lorenz96(const Lorenz96Problem<T>& p) {
    using lorenz96_detail::Workspace;
    using Cut = lorenz96_detail::RowCut<T>;
    constexpr index_t capacity = Cut::capacity, below = Cut::below, above = Cut::above;
    const T dt = static_cast<T>(p.dt), forcing = static_cast<T>(p.forcing);
    if (p.dim <= capacity) {
        const Team team(p.rows, p.rows * p.dim * p.steps > 16384);
        const Scratch<T> scratch(1, Workspace<T>::size(capacity), team);
        team.for_each(p.rows, [&](int thread, index_t i) {
            Workspace<T> w(scratch.of(thread), capacity);
            const auto join = [&](T* x) {
                x[-2] = x[p.dim - 2];
                x[-1] = x[p.dim - 1];
                x[p.dim] = x[0];
            };
            std::memcpy(w.x, p.x + i * p.dim, static_cast<std::size_t>(p.dim) * sizeof(T));
            join(w.x);
            for (index_t k = 0; k < p.steps; ++k) {
                if (k % 64 == 0) check_interrupt();
                lorenz96_detail::step(w, 0, p.dim, 0, dt, forcing, join);
            }
            std::memcpy(p.out + i * p.dim, w.x, static_cast<std::size_t>(p.dim) * sizeof(T));
        });
        return;
    }

    // passes before the last write rows of our own
    const index_t passes = (p.steps + Cut::steps_a_pass - 1) / Cut::steps_a_pass;
    const bool in_place = p.x == p.out;
    const index_t together = Cut(p, available_threads()).together;
    const Team team(together * Cut::tiles(p, Cut::steps_a_pass));
    const Scratch<T> scratch(1, Workspace<T>::size(capacity), team);
    const index_t spare_rows = Cut::own_rows(p) ? 2 * together : 0;
    const Buffer<T> spare(static_cast<std::size_t>(spare_rows * p.dim));

    for (index_t row = 0; row < p.rows; row += together) {
        const index_t rows = p.rows - row < together ? p.rows - row : together;
        const T* from = p.x + row * p.dim;
        T* const out = p.out + row * p.dim;
        for (index_t pass = 0; pass < passes; ++pass) {
            const index_t left = p.steps - pass * Cut::steps_a_pass;
            const index_t steps = left < Cut::steps_a_pass ? left : Cut::steps_a_pass;
            const index_t tile = Cut::tile(steps), tiles = Cut::tiles(p, steps);
            const bool to_own = pass + 1 < passes || (in_place && passes == 1);
            T* const to = to_own ? spare.get() + pass % 2 * together * p.dim : out;
            team.for_each(rows * tiles, [&](int thread, index_t task) {
                Workspace<T> w(scratch.of(thread), capacity);
                const index_t offset = task / tiles * p.dim, first = task % tiles * tile;
                const index_t n = p.dim - first < tile ? p.dim - first : tile;
                const index_t halo = below * steps, width = n + (below + above) * steps;
                lorenz96_detail::copy_ring(from + offset, p.dim, first - halo, width, w.x);
                for (index_t k = 0; k < steps; ++k)
                    lorenz96_detail::step(w, below * k, width - above * k, 1, dt, forcing, [](T*) {});
                std::memcpy(to + offset + first, w.x + halo, static_cast<std::size_t>(n) * sizeof(T));
            });
            from = to;
        }
        if (from == out) continue;
        team.for_each(rows, [&](int, index_t i) {
            std::memcpy(out + i * p.dim, from + i * p.dim,
                        static_cast<std::size_t>(p.dim) * sizeof(T));
        });
    }
}

ENFILT_CLOSE
