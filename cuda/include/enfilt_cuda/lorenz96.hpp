// Lorenz-96 (Lorenz 1996), dx_d/dt = (x_{d+1} - x_{d-2}) x_{d-1} - x_d + F on a ring, by the
// classical Runge-Kutta method, several steps per pass over memory.
//
// One evaluation reaches from d - 2 to d + 1, one step of four evaluations from d - 8 to d + 4. A
// block steps a tile of components with a halo of 8 and 4 for each of its steps, in shared memory;
// what the halo gives up at its ends is never written.
#pragma once

#include "platform.hpp"

namespace enfilt::cuda {

template <class T>
struct Lorenz96Pass {
    static constexpr unsigned threads = 256;
    static constexpr int each = 4, width = static_cast<int>(threads) * each;
    static constexpr int before = 8, behind = 4;  // of one step
    static constexpr int margin = 2;              // so that no neighbour is out of the array
    static constexpr int most_steps = 10;
    static constexpr std::size_t shared_bytes = (width + 2 * margin) * sizeof(T);

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
        T* const stage = c.template shared<T>() + margin;
        const int t = static_cast<int>(c.thread());
        if (t < margin) stage[t - margin] = stage[width + t] = T(0);
        const index_t begin = static_cast<index_t>(c.block()) * written();
        const T half = dt / T(2), sixth = dt / T(6), third = dt / T(3);
        for (index_t row = c.row(); row < count; row += c.rows()) {
            T at[each], sum[each];
            for (int e = 0; e < each; ++e) {
                const int k = t + e * static_cast<int>(threads);
                index_t d = begin + k - before * steps;
                if (d < 0 || d >= dim) {  // elsewhere it would be a hundred instructions for nothing
                    d %= dim;
                    if (d < 0) d += dim;
                }
                at[e] = x[row * dim + d];
                stage[k] = at[e];
            }
            c.sync();
            for (int step = 0; step < steps; ++step) {
                for (int e = 0; e < each; ++e) sum[e] = at[e];
                evaluate(c, stage, t, at, sum, sixth, half);
                evaluate(c, stage, t, at, sum, third, half);
                evaluate(c, stage, t, at, sum, third, dt);
                T slope[each];
                tendencies(stage, t, slope);
                c.sync();
                for (int e = 0; e < each; ++e) {
                    at[e] = sum[e] + sixth * slope[e];
                    stage[t + e * static_cast<int>(threads)] = at[e];
                }
                c.sync();
            }
            for (int e = 0; e < each; ++e) {
                const index_t k = t + e * static_cast<int>(threads) - before * steps;
                if (k >= 0 && k < written() && begin + k < dim) out[row * dim + begin + k] = at[e];
            }
        }
    }

  private:
    ENFILT_DEVICE void tendencies(const T* stage, int t, T (&slope)[each]) const {
        for (int e = 0; e < each; ++e) {
            const T* const s = stage + t + e * static_cast<int>(threads);
            slope[e] = (s[1] - s[-2]) * s[-1] - s[0] + forcing;
        }
    }

    // Adds weight k to the sum of the step, and makes x + reach k the next stage.
    template <class Context>
    ENFILT_DEVICE void evaluate(Context& c, T* stage, int t, const T (&at)[each], T (&sum)[each],
                                T weight, T reach) const {
        T slope[each];
        tendencies(stage, t, slope);
        c.sync();
        for (int e = 0; e < each; ++e) {
            sum[e] += weight * slope[e];
            stage[t + e * static_cast<int>(threads)] = at[e] + reach * slope[e];
        }
        c.sync();
    }
};

}  // namespace enfilt::cuda
