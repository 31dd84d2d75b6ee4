// The ensemble transform Kalman filter in two passes: one over the observations, that sums up what
// they say in the space of the ensemble, and one over the state, that writes combinations of members.
//
// With Y and d the anomalies of h(x) and the innovations, S = Y R^-1 Y^T / (N - 1), A the anomalies of
// the members, and the T^2 = (I + S)^-1 of Hunt, Kostelich, Szunyogh (2007), eqs. 20-24,
//
//     x_a = mean + (T^2 Y R^-1 d / (N - 1) + T) A,
//
// by the roots of inverse_root.hpp. Sums over observations are those of all processes that hold some.
#pragma once

#include "inverse_root.hpp"
#include "tiles.hpp"

ENFILT_OPEN

template <class T>
class EtkfAnalysis {
  public:
    explicit EtkfAnalysis(const EtkfProblem<T>& problem)
        : p_(problem), n_(problem.members), said_(sized((n_ + 1) * n_)),
          coefficients_(sized(n_ * n_)) {}

    void run() {
        listen();
        transform();
        combine();
    }

  private:
    const EtkfProblem<T>& p_;
    const index_t n_;
    const Buffer<double> said_;  // Y R^-1 Y^T, and behind it d R^-1 Y^T
    const Buffer<double> coefficients_;

    static std::size_t sized(index_t n) { return static_cast<std::size_t>(n); }

    // Values may be float32; what is made of them is float64.
    void listen() const {
        constexpr index_t lanes = Blocks<double>::lanes;
        const Blocks<double> blocks(2 * n_ + 4, p_.observations, (n_ + 1) * n_, n_);
        const index_t rows = tiled(n_ + 1) * blocks.stride;
        const Scratch<double> scratch(2 * tiled(n_ + 1) + 1, blocks.stride, blocks.team);
        const PartialSums<double> sums(blocks, (n_ + 1) * n_);
        sums.clear();
        blocks.for_each([&](int thread, index_t chunk, index_t first, index_t n) {
            double* anomaly = scratch.of(thread);
            double* weighted = anomaly + rows;
            double* weight = weighted + rows;
            const index_t whole = round_up(n, lanes);
            double* innovation = anomaly + n_ * blocks.stride;
            for (index_t d = 0; d < whole; ++d) {
                const bool seen = d < n && p_.y[first + d] == p_.y[first + d];
                weight[d] = seen ? p_.precision[first + d] : 0.0;
                innovation[d] = seen ? static_cast<double>(p_.y[first + d]) : 0.0;
            }
            for (index_t j = 0; j < n_; ++j) {
                const T* value = p_.values + j * p_.observations + first;
                double* row = anomaly + j * blocks.stride;
                for (index_t d = 0; d < n; ++d) row[d] = static_cast<double>(value[d]);
                for (index_t d = n; d < whole; ++d) row[d] = 0;
            }
            for (index_t d = 0; d < whole; d += lanes) {
                vec_t<double> mean = {};
                for (index_t j = 0; j < n_; ++j) mean += load(anomaly + j * blocks.stride + d);
                mean /= static_cast<double>(n_);
                for (index_t j = 0; j <= n_; ++j) {
                    double* at = anomaly + j * blocks.stride + d;
                    store(at, load(at) - mean);
                    store(weighted + j * blocks.stride + d, load(weight + d) * load(at));
                }
            }
            add_pairwise<Product>(weighted, n_ + 1, anomaly, n_, blocks.stride, whole,
                                  sums.of(chunk));
        });
        sums.total(said_.get());
    }

    // The coefficients, a column of T a lane.
    void transform() const {
        constexpr index_t lanes = InverseRoot<double>::lanes;
        const Buffer<double> memory(sized(InverseRoot<double>::scratch(n_) + 2 * n_ * lanes));
        const InverseRoot<double> solver(n_, memory.get());
        double* root = memory.get() + InverseRoot<double>::scratch(n_);
        double* inverse = root + n_ * lanes;
        const double share = 1.0 / static_cast<double>(n_ - 1);
        for (index_t k = 0; k < n_; ++k)
            for (index_t j = k; j < n_; ++j)
                store(solver.entry(k, j), broadcast<double>(share * said_[sized(k * n_ + j)]));
        solver.reduce();
        for (index_t first = 0; first < n_; first += lanes) {
            check_interrupt();
            for (index_t k = 0; k < n_; ++k)
                for (index_t l = 0; l < lanes; ++l)
                    solver.vector(k)[l] = k == first + l ? 1.0 : 0.0;
            solver.solve(root, inverse);
            for (index_t k = 0; k < n_; ++k)
                for (index_t l = 0; l < lanes && first + l < n_; ++l)
                    coefficients_[sized(k * n_ + first + l)] = root[k * lanes + l];
        }
        if (p_.rotation) rotate();
        for (index_t k = 0; k < n_; ++k)
            store(solver.vector(k), broadcast<double>(share * said_[sized(n_ * n_ + k)]));
        solver.solve(root, inverse);
        for (index_t i = 0; i < n_; ++i)
            for (index_t j = 0; j < n_; ++j) coefficients_[sized(i * n_ + j)] += inverse[j * lanes];
    }

    // T <- rotation T
    void rotate() const {
        const Buffer<double> column(sized(n_));
        for (index_t j = 0; j < n_; ++j) {
            for (index_t k = 0; k < n_; ++k) column[sized(k)] = coefficients_[sized(k * n_ + j)];
            for (index_t i = 0; i < n_; ++i) {
                double sum = 0;
                for (index_t k = 0; k < n_; ++k) sum += p_.rotation[i * n_ + k] * column[sized(k)];
                coefficients_[sized(i * n_ + j)] = sum;
            }
        }
    }

    void combine() const {
        constexpr index_t lanes = Blocks<T>::lanes;
        Weights<T> weights(n_, n_);
        weights.assign(coefficients_.get());
        const Blocks<T> blocks(2 * n_ + 3, p_.dim);
        const Scratch<T> scratch(2 * tiled(n_) + 3, blocks.stride, blocks.team);
        const Scratch<double> wide(1, blocks.stride, blocks.team);
        blocks.for_each([&](int thread, index_t, index_t first, index_t n) {
            T* anomaly = scratch.of(thread);
            T* mixed = anomaly + tiled(n_) * blocks.stride;
            T* mean = mixed + tiled(n_) * blocks.stride;
            T* result = mean + blocks.stride;
            double* sum = wide.of(thread);
            const index_t whole = round_up(n, lanes);
            for (index_t d = 0; d < whole; ++d) sum[d] = 0;
            for (index_t j = 0; j < n_; ++j) {
                T* row = anomaly + j * blocks.stride;
                fetch(p_.x + j * p_.dim + first, n, row);
                for (index_t d = 0; d < whole; ++d) sum[d] += static_cast<double>(row[d]);
            }
            // float64: a mean off by a rounding of float32 would move every member alike
            for (index_t d = 0; d < whole; ++d)
                mean[d] = static_cast<T>(sum[d] / static_cast<double>(n_));
            for (index_t j = 0; j < n_; ++j) {
                T* row = anomaly + j * blocks.stride;
                for (index_t d = 0; d < whole; d += lanes)
                    store(row + d, load(row + d) - load(mean + d));
            }
            weights.mix_dense(anomaly, blocks.stride, whole, mixed);
            index_t dense = 0;
            for (index_t i = 0; i < n_; ++i) {
                const T* moved = weights.row(i, anomaly, mixed, blocks.stride, dense);
                for (index_t d = 0; d < whole; d += lanes)
                    store(result + d, load(mean + d) + load(moved + d));
                std::memcpy(p_.out + i * p_.dim + first, result, sized(n) * sizeof(T));
            }
        });
    }
};

template <class T>
void etkf(const EtkfProblem<T>& problem) {
    EtkfAnalysis<T>(problem).run();
}

ENFILT_CLOSE
