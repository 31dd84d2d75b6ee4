// Two-dimensional incompressible flow on a periodic square by Chorin's (1968) projection: explicit
// Euler with central differences, Jacobi iterations for the pressure, gradient taken off.
//
// The iterations are nearly all of the cost. They are done several to a pass over memory: as soon
// as two rows of one iteration are there, the next iteration does the two rows a row further back,
// so that all of them work on rows in the first-level cache. A vector's neighbours in its row come
// from the vectors beside it, which are in registers, and not from loads across cache lines.
#pragma once

#include "blocks.hpp"

ENFILT_OPEN

namespace navier_stokes_detail {

// Rows of n cells, each with its periodic neighbours, cells -1 and n; and rows from -halo to
// rows + halo - 1. A row starts on a whole vector, with one before it and one behind the last.
template <class T>
struct Plane {
    T* origin = nullptr;
    index_t n = 0, stride = 0;

    static constexpr index_t lanes = Blocks<T>::lanes;
    static index_t stride_of(index_t n) { return round_up(n, lanes) + 2 * lanes; }
    static index_t size(index_t rows, index_t n, index_t halo) {
        return (rows + 2 * halo) * stride_of(n);
    }

    // Takes its memory from `base`, which then points behind it.
    Plane(T*& base, index_t rows, index_t n_, index_t halo) : n(n_), stride(stride_of(n_)) {
        origin = base + halo * stride + lanes;
        base += size(rows, n, halo);
    }
    T* row(index_t j) const { return origin + j * stride; }
    // The row that j is on a ring of n, from which it is not far: a division would be felt.
    T* ring(index_t j) const {
        while (j < 0) j += n;
        while (j >= n) j -= n;
        return row(j);
    }
    void copy(index_t j, const T* from) const {
        std::memcpy(row(j) - lanes, from - lanes, static_cast<std::size_t>(stride) * sizeof(T));
    }

    // Fills in `count` rows before and behind n of them.
    void join(index_t count) const {
        for (index_t k = 0; k < count; ++k) {
            copy(-1 - k, ring(-1 - k));
            copy(n + k, ring(k));
        }
    }
    void read(const T* from) const {
        for (index_t j = 0; j < n; ++j) {
            std::memcpy(row(j), from + j * n, static_cast<std::size_t>(n) * sizeof(T));
            close(row(j), n);
        }
    }
    void write(T* to) const {
        for (index_t j = 0; j < n; ++j)
            std::memcpy(to + j * n, row(j), static_cast<std::size_t>(n) * sizeof(T));
    }
    // After whole vectors were written, the last of which may reach over the end.
    static ENFILT_INLINE void close(T* cells, index_t n) {
        cells[-1] = cells[n - 1];
        cells[n] = cells[0];
    }
};

// The cells before those of a vector, or behind them.
template <class T>
ENFILT_INLINE vec_t<T> west(const T* x) {
    return load(x - 1);
}
template <class T>
ENFILT_INLINE vec_t<T> east(const T* x) {
    return load(x + 1);
}

template <class T>
struct Scheme {
    T advection, diffusion, source, dt;  // dt / (2 h), nu dt / h^2, h / (8 dt)
};

// u* = u + dt (-u u_x - v u_y + nu Laplacian u + f), and so v*, of row j.
template <class T>
ENFILT_INLINE void predict(const Plane<T>& field, const Plane<T>& u, const Plane<T>& v, index_t j,
                           const Scheme<T>& s, T force, T* out) {
    const T *c = field.row(j), *south = field.ring(j - 1), *north = field.ring(j + 1);
    const T *uj = u.row(j), *vj = v.row(j);
    const T push = s.dt * force;
    for (index_t i = 0; i < u.n; i += Plane<T>::lanes) {
        const vec_t<T> w = west(c + i), e = east(c + i), a = load(south + i), b = load(north + i);
        const vec_t<T> here = load(c + i);
        const vec_t<T> carried = load(uj + i) * (e - w) + load(vj + i) * (b - a);
        const vec_t<T> spread = (e + w) + (a + b) - T(4) * here;
        store(out + i, here - s.advection * carried + s.diffusion * spread + push);
    }
    Plane<T>::close(out, u.n);
}

// Two rows of one iteration, p <- (sum of the four neighbours) / 4 - b; `p` is the lower of them.
template <class T>
ENFILT_INLINE void iterate(const T* p, index_t stride, const T* b0, const T* b1, T* out,
                           index_t n) {
    constexpr index_t lanes = Blocks<T>::lanes;
    const T *p1 = p + stride, *below = p - stride, *above = p1 + stride;
    T* const out1 = out + stride;
    vec_t<T> before0 = load(p - lanes), here0 = load(p);
    vec_t<T> before1 = load(p1 - lanes), here1 = load(p1);
    for (index_t i = 0; i < n; i += lanes) {
        const vec_t<T> behind0 = load(p + i + lanes), behind1 = load(p1 + i + lanes);
        const vec_t<T> row0 = last_then<T>(before0, here0) + then_first<T>(here0, behind0);
        const vec_t<T> row1 = last_then<T>(before1, here1) + then_first<T>(here1, behind1);
        store(out + i, T(0.25) * (row0 + (load(below + i) + here1)) - load(b0 + i));
        store(out1 + i, T(0.25) * (row1 + (here0 + load(above + i))) - load(b1 + i));
        before0 = here0, here0 = behind0;
        before1 = here1, here1 = behind1;
    }
    Plane<T>::close(out, n);
    Plane<T>::close(out1, n);
}

// `count` iterations over `rows` rows in one pass: from p[0], of which count + 1 rows more are
// there before and behind, and back into it where they are even in number, else into p[1].
// Iteration k makes rows from k - count to rows - 1 + count - k (for an odd number of rows, one
// more), so that all of them have their neighbours. source(j) is row j of b.
template <class T, class Source>
void pass(const Plane<T>* p, index_t rows, index_t count, Source&& source) {
    for (index_t t = 1; t < count + (rows + 1) / 2; ++t) {
        for (index_t k = 1; k <= count && k <= t; ++k) {
            const index_t j = 2 * t - k - count;
            const Plane<T>&from = p[1 - k % 2], &to = p[k % 2];
            iterate(from.row(j), from.stride, source(j), source(j + 1), to.row(j), from.n);
        }
    }
}

// Iterations that are done in one pass. Rows that are made twice stay a thirtieth of all; more than
// 8 iterations gain nothing.
inline index_t iterations_a_pass(index_t n) { return n < 96 ? 2 : n < 192 ? 4 : 8; }

// Everything that one state needs.
template <class T>
struct State {
    index_t per_pass;
    Plane<T> p[2], u, v, us, vs, b;

    static index_t size(index_t n) {
        return 2 * Plane<T>::size(n, n, iterations_a_pass(n) + 1) + 5 * Plane<T>::size(n, n, 0);
    }
    State(T* base, index_t n)
        : per_pass(iterations_a_pass(n)), p{{base, n, n, per_pass + 1}, {base, n, n, per_pass + 1}},
          u(base, n, n, 0), v(base, n, n, 0), us(base, n, n, 0), vs(base, n, n, 0),
          b(base, n, n, 0) {}

    void read(const T* x) {
        const index_t cells = b.n * b.n;
        p[0].read(x), u.read(x + cells), v.read(x + 2 * cells);
    }
    void write(T* out) const {
        const index_t cells = b.n * b.n;
        p[0].write(out), u.write(out + cells), v.write(out + 2 * cells);
    }

    // The parts of a step, for rows [first, last); each needs the one before for all rows.
    void predict_rows(const Scheme<T>& s, const T* forcing, index_t first, index_t last) const {
        for (index_t j = first; j < last; ++j) {
            predict(u, u, v, j, s, forcing[j], us.row(j));
            predict(v, u, v, j, s, T(0), vs.row(j));
        }
    }
    void diverge_rows(const Scheme<T>& s, index_t first, index_t last) const {
        for (index_t j = first; j < last; ++j) {
            const T *uj = us.row(j), *south = vs.ring(j - 1), *north = vs.ring(j + 1);
            for (index_t i = 0; i < b.n; i += Plane<T>::lanes)
                store(b.row(j) + i, s.source * ((east(uj + i) - west(uj + i)) +
                                                (load(north + i) - load(south + i))));
        }
    }
    void correct_rows(const Scheme<T>& s, index_t first, index_t last) const {
        for (index_t j = first; j < last; ++j) {
            const T *c = p[0].row(j), *south = p[0].ring(j - 1), *north = p[0].ring(j + 1);
            for (index_t i = 0; i < b.n; i += Plane<T>::lanes) {
                store(u.row(j) + i, load(us.row(j) + i) - s.advection * (east(c + i) - west(c + i)));
                store(v.row(j) + i,
                      load(vs.row(j) + i) - s.advection * (load(north + i) - load(south + i)));
            }
            Plane<T>::close(u.row(j), b.n);
            Plane<T>::close(v.row(j), b.n);
        }
    }

    // All of it, and all iterations of the pressure.
    void step(const Scheme<T>& s, const T* forcing, index_t iterations) {
        const index_t n = b.n;
        predict_rows(s, forcing, 0, n);
        diverge_rows(s, 0, n);
        for (index_t done = 0; done < iterations; done += per_pass) {
            const index_t count = iterations - done < per_pass ? iterations - done : per_pass;
            check_interrupt();
            p[0].join(count + 1);
            pass(p, n, count, [&](index_t j) { return b.ring(j); });
            if (count % 2) std::swap(p[0], p[1]);
        }
        correct_rows(s, 0, n);
    }

    // `count` iterations of rows [first, last) from p[0] to p[1], by way of planes of the caller's.
    void iterate_rows(const Plane<T>* own, index_t count, index_t first, index_t last) const {
        for (index_t j = -count - 1; j < last - first + count + 1; ++j)
            own[0].copy(j, p[0].ring(first + j));
        pass(own, last - first, count, [&](index_t j) { return b.ring(first + j); });
        for (index_t j = first; j < last; ++j) p[1].copy(j, own[count % 2].row(j - first));
    }
};

// Into how many slabs of rows a state is cut, that is to say how many tasks it is for `threads`
// threads. A slab makes rows of its neighbours once more in each pass, and waits for them.
struct SlabCut {
    index_t slabs = 1, rows;

    SlabCut(index_t states, index_t n, index_t threads) : rows(n) {
        const index_t twice = 2 * iterations_a_pass(n);
        index_t least = (states + threads - 1) / threads * n;
        for (index_t s = 2; n >= 128 && s <= n / 8; ++s) {
            const index_t height = (n + s - 1) / s;
            const index_t cost = (states * s + threads - 1) / threads * (height + twice);
            if (cost < least) least = cost, slabs = s, rows = height;
        }
        slabs = (n + rows - 1) / rows;
    }
};

// All states step by step, each cut into slabs.
template <class T>
void step_slabs(const NavierStokesProblem<T>& q, const Scheme<T>& scheme, const SlabCut& cut) {
    const index_t size = State<T>::size(q.n), cells = q.n * q.n, tasks = q.rows * cut.slabs;
    const index_t per_pass = iterations_a_pass(q.n), halo = per_pass + 2;
    const Team team(tasks);
    const Scratch<T> own(2, Plane<T>::size(cut.rows, q.n, halo), team);
    const Buffer<T> memory(static_cast<std::size_t>(size * q.rows));
    const auto state = [&](index_t member) { return State<T>(memory.get() + size * member, q.n); };
    // Calls body(thread, state, first row, last row) for all slabs. Passes go from p[0] to p[1].
    bool turned = false;
    const auto for_each_slab = [&](auto&& body) {
        team.for_each(tasks, [&](int thread, index_t task) {
            State<T> w = state(task / cut.slabs);
            if (turned) std::swap(w.p[0], w.p[1]);
            const index_t first = task % cut.slabs * cut.rows;
            body(thread, w, first, q.n - first < cut.rows ? q.n : first + cut.rows);
        });
    };
    team.for_each(q.rows, [&](int, index_t member) {
        std::memset(memory.get() + size * member, 0, static_cast<std::size_t>(size) * sizeof(T));
        state(member).read(q.x + 3 * cells * member);
    });
    for (index_t k = 0; k < q.steps; ++k) {
        for_each_slab([&](int, const State<T>& w, index_t first, index_t last) {
            w.predict_rows(scheme, q.forcing, first, last);
        });
        for_each_slab([&](int, const State<T>& w, index_t first, index_t last) {
            w.diverge_rows(scheme, first, last);
        });
        for (index_t done = 0; done < q.iterations; done += per_pass) {
            const index_t left = q.iterations - done, count = left < per_pass ? left : per_pass;
            for_each_slab([&](int thread, const State<T>& w, index_t first, index_t last) {
                T* base = own.of(thread);
                const Plane<T> planes[2] = {{base, cut.rows, q.n, halo}, {base, cut.rows, q.n, halo}};
                w.iterate_rows(planes, count, first, last);
            });
            turned = !turned;
        }
        for_each_slab([&](int, const State<T>& w, index_t first, index_t last) {
            w.correct_rows(scheme, first, last);
        });
    }
    team.for_each(q.rows, [&](int, index_t member) {
        State<T> w = state(member);
        if (turned) std::swap(w.p[0], w.p[1]);
        w.write(q.out + 3 * cells * member);
    });
}

}  // namespace navier_stokes_detail

template <class T>
void navier_stokes(const NavierStokesProblem<T>& q) {
    using navier_stokes_detail::State;
    const double h = q.spacing;
    const navier_stokes_detail::Scheme<T> scheme{
        static_cast<T>(q.dt / (2 * h)), static_cast<T>(q.viscosity * q.dt / (h * h)),
        static_cast<T>(h / (8 * q.dt)), static_cast<T>(q.dt)};
    const navier_stokes_detail::SlabCut cut(q.rows, q.n, available_threads());
    if (cut.slabs > 1) return navier_stokes_detail::step_slabs(q, scheme, cut);

    // a state to a thread, which has it in cache
    const index_t size = State<T>::size(q.n), cells = q.n * q.n;
    const Team team(q.rows);
    const Scratch<T> scratch(1, size, team);
    team.for_each(q.rows, [&](int thread, index_t member) {
        State<T> w(scratch.of(thread), q.n);
        w.read(q.x + 3 * cells * member);
        for (index_t k = 0; k < q.steps; ++k) w.step(scheme, q.forcing, q.iterations);
        w.write(q.out + 3 * cells * member);
    });
}

ENFILT_CLOSE
