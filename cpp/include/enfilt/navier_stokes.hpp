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

// n rows of n cells, each with its periodic neighbours: cells -1 and n, and rows -halo to
// n + halo - 1. A row starts on a whole vector, with one before it and one behind the last.
template <class T>
struct Plane {
    T* origin = nullptr;
    index_t n = 0, stride = 0, halo = 0;

    static constexpr index_t lanes = Blocks<T>::lanes;
    static index_t stride_of(index_t n) { return round_up(n, lanes) + 2 * lanes; }
    static index_t size(index_t n, index_t halo) { return (n + 2 * halo) * stride_of(n); }

    // Takes its memory from `base`, which then points behind it.
    Plane(T*& base, index_t n_, index_t halo_) : n(n_), stride(stride_of(n_)), halo(halo_) {
        origin = base + halo * stride + lanes;
        base += size(n, halo);
    }
    T* row(index_t j) const { return origin + j * stride; }
    index_t ring(index_t j) const { return (j % n + n) % n; }

    // Fills in `count` rows before and behind.
    void join(index_t count) const {
        const auto bytes = static_cast<std::size_t>(stride) * sizeof(T);
        for (index_t k = 0; k < count; ++k) {
            std::memcpy(row(-1 - k) - lanes, row(ring(-1 - k)) - lanes, bytes);
            std::memcpy(row(n + k) - lanes, row(ring(k)) - lanes, bytes);
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
    const T *c = field.row(j), *south = field.row(j - 1), *north = field.row(j + 1);
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

// `count` iterations in one pass: from p[0], and back into it where they are even in number, else
// into p[1]. The ring of rows is cut open: iteration k makes rows from k - count to
// n - 1 + count - k (for an odd n, one more), those behind the ends twice.
template <class T>
void pass(const Plane<T>* p, const Plane<T>& b, index_t count) {
    const index_t n = b.n;
    p[0].join(count + 1);
    for (index_t t = 1; t < count + (n + 1) / 2; ++t) {
        for (index_t k = 1; k <= count && k <= t; ++k) {
            const index_t j = 2 * t - k - count;
            const Plane<T>&from = p[1 - k % 2], &to = p[k % 2];
            iterate(from.row(j), from.stride, b.row(j), b.row(j + 1), to.row(j), n);
        }
    }
}

// Everything that one state needs.
template <class T>
struct Workspace {
    index_t per_pass;
    Plane<T> p[2], u, v, us, vs, b;

    // Rows that are made twice stay a thirtieth of all; more than 8 iterations gain nothing.
    static index_t per_pass_of(index_t n) { return n < 96 ? 2 : n < 192 ? 4 : 8; }
    static index_t size(index_t n) {
        return 2 * Plane<T>::size(n, per_pass_of(n) + 1) + 4 * Plane<T>::size(n, 1) +
               Plane<T>::size(n, per_pass_of(n));
    }
    Workspace(T* base, index_t n)
        : per_pass(per_pass_of(n)), p{{base, n, per_pass + 1}, {base, n, per_pass + 1}},
          u(base, n, 1), v(base, n, 1), us(base, n, 1), vs(base, n, 1), b(base, n, per_pass) {}

    void step(const Scheme<T>& s, const T* forcing, index_t iterations) {
        const index_t n = b.n;
        u.join(1), v.join(1);
        for (index_t j = 0; j < n; ++j) {
            predict(u, u, v, j, s, forcing[j], us.row(j));
            predict(v, u, v, j, s, T(0), vs.row(j));
        }
        us.join(1), vs.join(1);
        for (index_t j = 0; j < n; ++j) {
            const T *uj = us.row(j), *south = vs.row(j - 1), *north = vs.row(j + 1);
            for (index_t i = 0; i < n; i += Plane<T>::lanes)
                store(b.row(j) + i, s.source * ((east(uj + i) - west(uj + i)) +
                                                (load(north + i) - load(south + i))));
        }
        b.join(per_pass);
        for (index_t done = 0; done < iterations; done += per_pass) {
            const index_t count = iterations - done < per_pass ? iterations - done : per_pass;
            check_interrupt();
            pass(p, b, count);
            if (count % 2) std::swap(p[0], p[1]);
        }
        p[0].join(1);
        for (index_t j = 0; j < n; ++j) {
            const T *c = p[0].row(j), *south = p[0].row(j - 1), *north = p[0].row(j + 1);
            for (index_t i = 0; i < n; i += Plane<T>::lanes) {
                store(u.row(j) + i, load(us.row(j) + i) - s.advection * (east(c + i) - west(c + i)));
                store(v.row(j) + i,
                      load(vs.row(j) + i) - s.advection * (load(north + i) - load(south + i)));
            }
            Plane<T>::close(u.row(j), n);
            Plane<T>::close(v.row(j), n);
        }
    }
};

}  // namespace navier_stokes_detail

template <class T>
void navier_stokes(const NavierStokesProblem<T>& problem) {
    using navier_stokes_detail::Workspace;
    const NavierStokesProblem<T>& q = problem;
    const double h = q.spacing;
    const navier_stokes_detail::Scheme<T> scheme{
        static_cast<T>(q.dt / (2 * h)), static_cast<T>(q.viscosity * q.dt / (h * h)),
        static_cast<T>(h / (8 * q.dt)), static_cast<T>(q.dt)};
    const index_t size = Workspace<T>::size(q.n), cells = q.n * q.n;
    const Team team(q.rows);  // a state to a thread
    const Buffer<T> scratch(static_cast<std::size_t>(size * team.size()));
    team.for_each(q.rows, [&](int thread, index_t member) {
        T* const own = scratch.get() + size * thread;
        std::memset(own, 0, static_cast<std::size_t>(size) * sizeof(T));
        Workspace<T> w(own, q.n);
        const T* const x = q.x + 3 * cells * member;
        T* const out = q.out + 3 * cells * member;
        w.p[0].read(x), w.u.read(x + cells), w.v.read(x + 2 * cells);
        for (index_t k = 0; k < q.steps; ++k) w.step(scheme, q.forcing, q.iterations);
        w.p[0].write(out), w.u.write(out + cells), w.v.write(out + 2 * cells);
    });
}

ENFILT_CLOSE
