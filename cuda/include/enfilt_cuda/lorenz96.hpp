// Lorenz-96 (Lorenz 1996), dx_d/dt = (x_{d+1} - x_{d-2}) x_{d-1} - x_d + F on a ring, by the
// classical Runge-Kutta method, several steps per pass over memory.
//
// One evaluation reaches from d - 2 to d + 1, one step of four evaluations from d - 8 to d + 4. A
// block steps a tile of components with a halo of 8 and 4 for each of its steps, four of them in the
// registers of a thread; what the halo gives up at its ends is never written.
#pragma once

#include <enfilt/math/lorenz96.hpp>

#include "platform.hpp"

namespace enfilt::cuda {

template <class T>
struct Lorenz96Pass {
    static constexpr unsigned threads = 256;
    static constexpr int each = 4, width = static_cast<int>(threads) * each;
    static constexpr int before = math::lorenz96_below, behind = math::lorenz96_above;
    static constexpr int most_steps = 10;
    static constexpr std::size_t shared_bytes = (width + 3 * (threads + 2)) * sizeof(T);

    const T* x;  // (rows, D)
    T* out;      // (rows, D); does not overlap it
    index_t count, dim;
    int steps;  // at most most_steps
    T dt, forcing;

    ENFILT_BOTH index_t written() const { return width - (before + behind) * steps; }
    Grid grid() const {
        return {count_of(divide_up(dim, written())), count_of(smaller(count, 65535))};
    }

    template <class Context>
    ENFILT_DEVICE void operator()(Context& c) const {
        const int t = static_cast<int>(c.thread()), all = static_cast<int>(threads);
        T* const tile = c.template shared<T>();
        const Edges edges(tile + width, t);
        if (t == 0) edges.close();
        const index_t begin = static_cast<index_t>(c.block()) * written();
        const math::RungeKutta<T> weights(dt);
        const T half = weights.half, sixth = weights.sixth, third = weights.third;
        for (index_t row = c.row(); row < count; row += c.rows()) {
            for (int k = t; k < width; k += all) {
                index_t d = begin + k - before * steps;
                if (d < 0 || d >= dim) {  // elsewhere it would be a hundred instructions for nothing
                    d %= dim;
                    if (d < 0) d += dim;
                }
                tile[k] = x[row * dim + d];
            }
            c.sync();
            T at[each], now[each], sum[each], slope[each];
            for (int e = 0; e < each; ++e) at[e] = tile[each * t + e];
            edges.put(at);
            c.sync();
            for (int step = 0; step < steps; ++step) {
                for (int e = 0; e < each; ++e) now[e] = sum[e] = at[e];
                evaluate(c, edges, at, now, sum, sixth, half);
                evaluate(c, edges, at, now, sum, third, half);
                evaluate(c, edges, at, now, sum, third, dt);
                tendencies(edges, now, slope);
                c.sync();
                for (int e = 0; e < each; ++e) at[e] = sum[e] + sixth * slope[e];
                edges.put(at);
                c.sync();
            }
            for (int e = 0; e < each; ++e) tile[each * t + e] = at[e];
            c.sync();
            for (int from = t; from < width; from += all) {
                const index_t k = from - before * steps;
                if (k >= 0 && k < written() && begin + k < dim) out[row * dim + begin + k] = tile[from];
            }
            c.sync();
        }
    }

  private:
    // What threads see of each other: of four components in registers the first and the last two.
    struct Edges {
        T *first, *third, *last;  // of this thread; those beside it are its neighbours'

        ENFILT_DEVICE Edges(T* memory, int t)
            : first(memory + 1 + t), third(first + threads + 2), last(third + threads + 2) {}

        // Of thread 0: zeros where there are no neighbours.
        ENFILT_DEVICE void close() const { first[threads] = third[-1] = last[-1] = T(0); }
        ENFILT_DEVICE void put(const T (&value)[each]) const {
            *first = value[0], *third = value[2], *last = value[3];
        }
    };

    ENFILT_DEVICE void tendencies(const Edges& edges, const T (&now)[each],
                                  T (&slope)[each]) const {
        const T s[each + 3] = {edges.third[-1], edges.last[-1], now[0],        now[1],
                               now[2],          now[3],         edges.first[1]};
        ENFILT_UNROLL(4)
        for (int e = 0; e < each; ++e)
            slope[e] = math::lorenz96_tendency(s[e], s[e + 1], s[e + 2], s[e + 3], forcing);
    }

    // Adds weight k to the sum of the step, and makes x + reach k the next stage.
    template <class Context>
    ENFILT_DEVICE void evaluate(Context& c, const Edges& edges, const T (&at)[each],
                                T (&now)[each], T (&sum)[each], T weight, T reach) const {
        T slope[each];
        tendencies(edges, now, slope);
        c.sync();
        for (int e = 0; e < each; ++e) {
            sum[e] += weight * slope[e];
            now[e] = at[e] + reach * slope[e];
        }
        edges.put(now);
        c.sync();
    }
};

}  // namespace enfilt::cuda
