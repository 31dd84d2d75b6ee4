// B^(-1/2) a and u^T B^(-1) a for B = I + S, S symmetric positive semidefinite of up to 64 rows: the
// algorithm of the core's inverse_root.hpp, by a block of threads of which each has a row.
//
// S = Q T Q^T by Householder reflections; the root of the tridiagonal I + T is a sum of its shifted
// inverses (Hale, Higham, Trefethen 2008), of which each lane of a warp solves one. Against
// Jacobi's rotations, which find all eigenvectors, this takes some N/2 times fewer operations.
#pragma once

#include <enfilt/root_poles.hpp>

#include "platform.hpp"

namespace enfilt::cuda {

// Shifts and weights for eigenvalues in [1, kappa], for three kappa, as an argument of a kernel.
class RootShifts {
  public:
    static constexpr int classes = 3, most = 128;
    double kappa[classes];
    int begin[classes + 1];
    double shift[most], weight[most];

    // The one that there is.
    static const RootShifts& all() {
        static const RootShifts made;
        return made;
    }

  private:
    RootShifts() : begin{}, shift{}, weight{} {
        constexpr double bounds[classes] = {64.0, 65536.0, 4503599627370496.0};
        for (int k = 0; k < classes; ++k) {
            kappa[k] = bounds[k];
            double* const to = shift + begin[k];
            const index_t count = root_poles(bounds[k], 5e-17, to, weight + begin[k]);
            begin[k + 1] = begin[k] + static_cast<int>(count);
        }
    }
};

struct InverseRoot {
    static constexpr int lanes = 32, lane_stride = lanes + 1;  // odd: a column is in no one bank

    // In numbers: what is kept from filling to solving, and what is only solved in.
    ENFILT_BOTH static int size(int n) { return n * (n | 1) + 7 * n; }
    ENFILT_BOTH static int scratch(int n) { return 2 * n * lane_stride; }

    int n, stride;
    double* s;  // (n, stride): S, then row by row the reflectors behind the diagonal
    double *vector, *pull;  // a and u, then Q^T a and Q^T u
    double *diagonal, *beside, *reflector, *product, *inverse;
    double *reduced, *factor;

    ENFILT_DEVICE InverseRoot(int order, double* memory, double* scratch_memory)
        : n(order), stride(order | 1), s(memory), vector(memory + n * stride), pull(vector + n),
          diagonal(pull + n), beside(diagonal + n), reflector(beside + n), product(reflector + n),
          inverse(product + n), reduced(scratch_memory), factor(reduced + n * lane_stride) {}

    ENFILT_DEVICE double& entry(int i, int j) const { return s[i * stride + j]; }

    ENFILT_DEVICE void clear(int t, int threads) const {
        for (int e = t; e < n * stride; e += threads) s[e] = 0;
        if (t < n) pull[t] = 0;
    }

    // S to tridiagonal form, a and u along with it. All sums over a row are made by each thread for
    // itself, in one order: shared memory hands a number to all lanes at once.
    template <class Context>
    ENFILT_DEVICE void reduce(Context& c) const {
        constexpr double negligible = 1e-60;  // far under the last bit of I + S
        const int t = static_cast<int>(c.thread());
        for (int i = 0; i + 2 < n; ++i) {
            double* const v = s + i * stride;
            double tail = 0;
            for (int j = i + 2; j < n; ++j) tail += v[j] * v[j];
            const double head = v[i + 1], square = tail + head * head;
            const double alpha = head > 0 ? -std::sqrt(square) : std::sqrt(square);
            const bool reflects = tail > negligible;
            const double over_h = reflects ? 1 / (square - alpha * head) : 0.0;
            c.sync();
            if (t == 0) {
                v[i + 1] = head - alpha;
                beside[i] = reflects ? alpha : head;
                reflector[i] = over_h;
            }
            c.sync();
            double own = 0, along_a = 0, along_u = 0;
            const double* const row = s + t * stride;
            const bool behind = t > i && t < n;
            if (behind)
                for (int j = i + 1; j < n; ++j) {
                    own += row[j] * v[j];
                    along_a += vector[j] * v[j];
                    along_u += pull[j] * v[j];
                }
            if (behind) product[t] = own;
            c.sync();
            if (behind) {
                double along = 0;
                for (int j = i + 1; j < n; ++j) along += v[j] * product[j];
                along *= 0.5 * over_h * over_h;
                const double at = v[t], q = over_h * own - along * at;
                for (int j = i + 1; j < n; ++j)
                    entry(t, j) -= at * (over_h * product[j] - along * v[j]) + q * v[j];
                vector[t] -= over_h * along_a * at;
                pull[t] -= over_h * along_u * at;
            }
            c.sync();
        }
        if (t < n) diagonal[t] = 1 + entry(t, t);
        if (t == 0) beside[n - 1] = 0, beside[n - 2] = entry(n - 2, n - 1);
        c.sync();
    }

    // B^(-1/2) a to `root`, (n,); returns u^T B^(-1) a.
    template <class Context>
    ENFILT_DEVICE double solve(Context& c, const RootShifts& shifts, double* root) const {
        const int t = static_cast<int>(c.thread());
        // Gershgorin's discs
        double bound = 1, before = 0;
        for (int k = 0; k < n; ++k) {
            const double next = std::fabs(beside[k]);
            bound = std::fmax(bound, diagonal[k] + next + before);
            before = next;
        }
        int set = 0;
        while (set + 1 < RootShifts::classes && bound > shifts.kappa[set]) ++set;
        const int begin = shifts.begin[set], end = shifts.begin[set + 1];
        double own = 0;
        for (int first = begin; first <= end; first += lanes) {  // at `end` stands B^(-1) itself
            const int pole = first + t;
            if (t < lanes) shifted(t, pole < end ? shifts.shift[pole] : 0.0);
            c.sync();
            if (t < n) {
                const int count = end - first < lanes ? end - first : lanes;
                for (int l = 0; l < count; ++l)
                    own += shifts.weight[first + l] * reduced[t * lane_stride + l];
                if (end - first < lanes) inverse[t] = reduced[t * lane_stride + end - first];
            }
            c.sync();
        }
        if (t < n) root[t] = own;
        c.sync();
        double inner = 0;
        for (int k = 0; k < n; ++k) inner += pull[k] * inverse[k];
        for (int i = n - 3; i >= 0; --i) {
            const double* const v = s + i * stride;
            double along = 0;
            for (int j = i + 1; j < n; ++j) along += v[j] * root[j];
            c.sync();
            if (t > i && t < n) root[t] -= reflector[i] * along * v[t];
            c.sync();
        }
        return inner;
    }

  private:
    // (I + T + shift I)^(-1) a to this lane's column of `reduced`: a chain without pivoting.
    ENFILT_DEVICE void shifted(int lane, double shift) const {
        double ratio = 0, value = 0, next = 0;
        for (int k = 0; k < n; ++k) {
            const double pivot = 1 / ((diagonal[k] + shift) - ratio * next);
            value = vector[k] - ratio * value;
            next = beside[k];
            ratio = next * pivot;
            reduced[k * lane_stride + lane] = value * pivot;
            factor[k * lane_stride + lane] = ratio;
        }
        value = 0;
        for (int k = n - 1; k >= 0; --k) {
            const int at = k * lane_stride + lane;
            value = reduced[at] - factor[at] * value;
            reduced[at] = value;
        }
    }
};

}  // namespace enfilt::cuda
