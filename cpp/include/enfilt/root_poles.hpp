// The inverse root of a matrix as a sum of shifted inverses: shifts and weights.
#pragma once

#include <cmath>
#include <cstddef>

namespace enfilt {

// B^(-1/2) = sum_k weight_k (B + shift_k I)^(-1) for eigenvalues in [1, kappa], to a relative
// `accuracy` of each; returns how many terms that takes (77 for 2^52 and 5e-17).
//
// Hale, Higham, Trefethen (2008), "Computing A^alpha, log(A), and related matrix functions by
// contour integrals", section 4.
//
// Static, and not in the namespace of an instruction set, which the host code of CUDA has none of:
// a shared symbol could be merged with that of another set.
template <class T>
static std::ptrdiff_t root_poles(double kappa, double accuracy, T* shift, T* weight) {
    using index = std::ptrdiff_t;
    constexpr double pi = 3.14159265358979323846;
    const index n =
        static_cast<index>(std::ceil(std::log(4 / accuracy) * std::log(16 * kappa) / (2 * pi * pi)));
    // Jacobi's functions of modulus k', k'^2 = 1 - 1/kappa, by the arithmetic-geometric mean
    // (Abramowitz, Stegun 16.4).
    double a[16], c[16];
    a[0] = 1;
    c[0] = std::sqrt(1 - 1 / kappa);
    double b = std::sqrt(1 / kappa);
    int last = 0;
    while (c[last] > 1e-17 * a[last] && last < 15) {
        a[last + 1] = 0.5 * (a[last] + b);
        c[last + 1] = 0.5 * (a[last] - b);
        b = std::sqrt(a[last] * b);
        ++last;
    }
    const double quarter = pi / (2 * a[last]);
    const double scale = 2 * quarter / (pi * static_cast<double>(n));
    const double k = std::sqrt(1 / kappa);
    // The upper half by symmetry about u = K'/2, where tan loses digits.
    for (index j = 0; 2 * j < n; ++j) {
        const double u = (static_cast<double>(j) + 0.5) * quarter / static_cast<double>(n);
        double phi = std::ldexp(a[last] * u, last), before = phi;
        for (int level = last; level > 0; --level) {
            before = phi;
            phi = 0.5 * (phi + std::asin(c[level] * std::sin(phi) / a[level]));
        }
        const double sn = std::sin(phi), cn = std::cos(phi), dn = cn / std::cos(before - phi);
        shift[j] = static_cast<T>(sn * sn / (cn * cn));
        weight[j] = static_cast<T>(scale * dn / (cn * cn));
        shift[n - 1 - j] = static_cast<T>(kappa * cn * cn / (sn * sn));
        weight[n - 1 - j] = static_cast<T>(scale * dn / (k * sn * sn));
    }
    return n;
}

}  // namespace enfilt
