// The taper of the localized flow filter's window, where its sweep looks it up.
#pragma once

#include "buffer.hpp"
#include "problem.hpp"

ENFILT_OPEN

namespace lenff_detail {

constexpr index_t group = 2;  // rows that stand in registers together

// The taper over N - 1, by rows and columns away, zeros about it.
template <class T>
struct Taps {
    index_t reach[2] = {0, 0};  // rows, columns
    index_t span;
    Buffer<T> all, own, other;

    // `line`: the axis of columns becomes that of the panel's rows.
    Taps(const LenffWindow<T>& p, bool line)
        : span(measure(p, line)), all(size()), own(size()), other(size()) {
        for (std::size_t k = 0; k < size(); ++k) all[k] = own[k] = other[k] = T(0);
        const index_t length[2] = {p.rows, p.columns};
        for (index_t s = 0; s < p.count; ++s) {
            double weight = p.rho[s] / static_cast<double>(p.members - 1);
            // opposite on a ring stands in the window once: half of it on either side
            bool twice[2];
            for (index_t axis = 0; axis < 2; ++axis) {
                const index_t away = p.offsets[2 * s + axis];
                twice[axis] = p.periodic && away != 0 && 2 * away == length[axis];
                if (twice[axis]) weight /= 2;
            }
            for (int side = 0; side < 4; ++side) {
                if ((side & 1 && !twice[0]) || (side & 2 && !twice[1])) continue;
                index_t r = p.offsets[2 * s] * (side & 1 ? -1 : 1);
                index_t c = p.offsets[2 * s + 1] * (side & 2 ? -1 : 1);
                if (line) r += c, c = 0;  // one of them is zero
                const std::size_t at = static_cast<std::size_t>(position(r, c));
                all[at] += static_cast<T>(weight);
                // each pair of places once: seen from the one that comes first
                if (r > 0 || (r == 0 && c >= 0)) own[at] = all[at];
                if (r > 0 || (r == 0 && c > 0)) other[at] = all[at];
            }
        }
    }

    index_t position(index_t row, index_t column) const {
        return (column + reach[1]) * span + row + reach[0] + group;
    }

  private:
    std::size_t size() const { return static_cast<std::size_t>((2 * reach[1] + 1) * span); }

    index_t measure(const LenffWindow<T>& p, bool line) {
        for (index_t s = 0; s < 2 * p.count; ++s) {
            const index_t away = p.offsets[s] < 0 ? -p.offsets[s] : p.offsets[s];
            index_t& most = reach[line ? 0 : s % 2];
            if (away > most) most = away;
        }
        return 2 * (reach[0] + group) + 1;
    }
};

}  // namespace lenff_detail

ENFILT_CLOSE
