// What observations say to the local analyses of lists: a row each of anomalies and innovation.
#pragma once

#include <cmath>

#include "blocks.hpp"

ENFILT_OPEN

template <class T>
void letkf_rows(const LetkfRows<T>& p) {
    constexpr index_t run = 64;  // observations whose values of one member stand side by side
    const index_t n = p.members, runs = (p.count + run - 1) / run;
    Team(runs, p.count * n > 65536).for_each(runs, [&](int, index_t r) {
        const index_t end = (r + 1) * run < p.count ? (r + 1) * run : p.count;
        double mean[run] = {}, power[run] = {};
        T factor[run];
        for (index_t j = 0; j < n; ++j)
            for (index_t k = r * run; k < end; ++k)
                mean[k - r * run] +=
                    static_cast<double>(p.values[j * p.observations + p.chosen[k]]);
        for (index_t k = r * run; k < end; ++k) {
            const T precision = p.precision[p.precision_varies ? p.chosen[k] : 0];
            mean[k - r * run] /= static_cast<double>(n);
            factor[k - r * run] = std::sqrt(precision / static_cast<T>(n - 1));
            const double away = static_cast<double>(p.y[p.chosen[k]]) - mean[k - r * run];
            p.rows[k * (n + 1) + n] = static_cast<T>(away) * factor[k - r * run];
        }
        for (index_t j = 0; j < n; ++j)
            for (index_t k = r * run; k < end; ++k) {
                const double value =
                    static_cast<double>(p.values[j * p.observations + p.chosen[k]]);
                const T scaled = static_cast<T>(value - mean[k - r * run]) * factor[k - r * run];
                p.rows[k * (n + 1) + j] = scaled;
                power[k - r * run] += static_cast<double>(scaled) * static_cast<double>(scaled);
            }
        for (index_t k = r * run; k < end; ++k) p.power[k] = power[k - r * run];
    });
}

ENFILT_CLOSE
