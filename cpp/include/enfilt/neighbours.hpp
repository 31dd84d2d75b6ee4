// Which observations are near which places, and how much they weigh there.
//
// Observations are put in cells of up to three axes; about a place those cells are looked at that
// are within reach. Sizes of results are not known beforehand: each operation is called twice, to
// count and to fill in.
#pragma once

#include <cmath>
#include <limits>

#include "blocks.hpp"

ENFILT_OPEN

namespace neighbours_detail {

// Numbers below a limit that were put in, taken out in order.
class Marked {
  public:
    explicit Marked(index_t size)
        : words_((size + 63) / 64), word_(static_cast<std::size_t>(words_)),
          group_(static_cast<std::size_t>((words_ + 63) / 64)) {
        std::memset(word_.get(), 0, static_cast<std::size_t>(words_) * sizeof(std::uint64_t));
        std::memset(group_.get(), 0,
                    static_cast<std::size_t>((words_ + 63) / 64) * sizeof(std::uint64_t));
    }
    void put(index_t k) {
        word_[static_cast<std::size_t>(k / 64)] |= std::uint64_t{1} << (k % 64);
        group_[static_cast<std::size_t>(k / 4096)] |= std::uint64_t{1} << (k / 64 % 64);
    }
    template <class Body>
    void take_all(Body&& body) {
        for (index_t g = 0; g < (words_ + 63) / 64; ++g)
            take(group_[static_cast<std::size_t>(g)], 64 * g, [&](index_t w) {
                take(word_[static_cast<std::size_t>(w)], 64 * w, body);
            });
    }

  private:
    index_t words_;
    Buffer<std::uint64_t> word_, group_;

    template <class Body>
    static void take(std::uint64_t& bits, index_t first, Body&& body) {
        for (; bits; bits &= bits - 1) body(first + __builtin_ctzll(bits));
    }
};

// The cells of observations along one axis.
struct CellAxis {
    index_t axis = 0, count = 1;
    double from = 0, size = 1, period = 0;

    index_t cell(double x) const {
        const double k = (x - from) / size;
        return k < 0 ? 0 : k >= static_cast<double>(count) ? count - 1 : static_cast<index_t>(k);
    }
    // Calls body(cell) for those within reach of x, each once.
    template <class Body>
    void within(double x, double reach, Body&& body) const {
        // wider by more than any rounding
        const double wide = reach * (1 + 1e-9) + 1e-12 * (std::fabs(x) + std::fabs(from));
        const double first = std::floor((x - wide - from) / size);
        const double last = std::floor((x + wide - from) / size);
        if (!(last - first + 1 < static_cast<double>(count))) {
            for (index_t c = 0; c < count; ++c) body(c);
        } else if (period > 0) {
            const auto n = static_cast<double>(count);
            for (double c = first; c <= last; ++c)
                body(static_cast<index_t>(c - n * std::floor(c / n)) % count);
        } else {
            const double end = last < static_cast<double>(count - 1) ? last : static_cast<double>(count - 1);
            for (double c = first < 0 ? 0 : first; c <= end; ++c) body(static_cast<index_t>(c));
        }
    }
};

class Cells {
  public:
    explicit Cells(const NearPairs& p)
        : p_(p), number_(static_cast<std::size_t>(p.observations)),
          size_(p.observations + lanes), where_(static_cast<std::size_t>(size_ * p.axes)) {
        if (p.radius > 0) {
            const double chord = p.reach < 2 * p.radius ? p.reach : 2 * p.radius;
            longest_ = arc(chord) / chord * (arc(chord) / chord);
        }
        choose_axes();
        double size = 0.5 * p.reach;
        for (;; size *= 1.25) {  // not many more cells than observations
            double all = 1;
            for (CellAxis& a : axes_) {
                const double n = std::floor(extent(a) / size);
                a.count = n >= 1 ? n < 1e9 ? static_cast<index_t>(n) : index_t{1000000000} : 1;
                all *= static_cast<double>(a.count);
            }
            if (all <= 64 + 2 * static_cast<double>(p.observations)) break;
        }
        index_t all = 1;
        for (CellAxis& a : axes_) {
            a.size = a.count > 1 ? extent(a) / static_cast<double>(a.count) : extent(a);
            if (!(a.size > 0)) a.size = 1;
            all *= a.count;
        }
        begins_.reset(all + 1);
        sort(all);
    }

    // How many are less than the reach from a place.
    std::int64_t count(const double* x) const {
        const double most = p_.reach * p_.reach * (1 + 1e-9);
        const double surely = p_.reach * p_.reach * (1 - 1e-9);
        std::int64_t total = 0;
        look(x, [&](index_t, index_t n, vec_t<double> chord, vec_t<double> other) {
            const ivec_t<double> inside = longest_ * chord + other < surely;
            const ivec_t<double> unsure = (chord + other < most) & ~inside;
            for (index_t l = 0; l < n; ++l) {
                const auto lane = static_cast<std::size_t>(l);
                total -= inside[lane];  // of all bits, -1
                if (unsure[lane]) total += distance(chord[lane], other[lane]) < p_.reach;
            }
        });
        return total;
    }
    // Calls body(observation, distance) for each of them.
    template <class Body>
    void near(const double* x, Body&& body) const {
        const double most = p_.reach * p_.reach * (1 + 1e-9);
        look(x, [&](index_t s, index_t n, vec_t<double> chord, vec_t<double> other) {
            const ivec_t<double> may = chord + other < most;  // chords are shorter than arcs
            for (index_t l = 0; l < n; ++l) {
                const auto lane = static_cast<std::size_t>(l);
                if (!may[lane]) continue;
                const double d = distance(chord[lane], other[lane]);
                if (d < p_.reach) body(number_[static_cast<std::size_t>(s + l)], d);
            }
        });
    }

  private:
    static constexpr index_t lanes = Blocks<double>::lanes;

    // Calls body(first, count, chords, others) for vectors of observations in cells within reach:
    // squares of the distance along the axes of a sphere, as a chord, and along the others.
    template <class Body>
    void look(const double* x, Body&& body) const {
        axes_[0].within(x[axes_[0].axis], p_.reach, [&](index_t i) {
            axes_[1].within(x[axes_[1].axis], p_.reach, [&](index_t j) {
                index_t from = 0, to = 0;  // cells behind one another are looked at in one go
                axes_[2].within(x[axes_[2].axis], p_.reach, [&](index_t k) {
                    const index_t cell = (i * axes_[1].count + j) * axes_[2].count + k;
                    if (begins_[cell] != to) {
                        look_at(x, from, to, body);
                        from = begins_[cell];
                    }
                    to = begins_[cell + 1];
                });
                look_at(x, from, to, body);
            });
        });
    }
    template <class Body>
    ENFILT_INLINE void look_at(const double* x, index_t from, index_t to, Body&& body) const {
        const index_t round = p_.radius > 0 ? 3 : 0;  // axes of a sphere
        for (index_t s = from; s < to; s += lanes) {
            vec_t<double> chord = {}, other = {};
            for (index_t k = 0; k < p_.axes; ++k) {
                vec_t<double> along = load(where_.get() + k * size_ + s) - x[k];
                if (k < round) {
                    chord += along * along;
                    continue;
                }
                if (p_.period && p_.period[k] > 0) {
                    along = select<double>(along < 0.0, -along, along);
                    along = select<double>(along > 0.5 * p_.period[k], p_.period[k] - along, along);
                }
                other += along * along;
            }
            body(s, to - s < lanes ? to - s : lanes, chord, other);
        }
    }

    const NearPairs& p_;
    double longest_ = 1;  // the square of an arc over its chord's is at most this, within reach
    CellAxis axes_[3];  // the longest; fewer have one cell
    Buffer<index_t> number_;
    index_t size_;
    Buffer<double> where_;  // axis by axis, as number_; a vector may reach past the last
    struct Begins {
        Buffer<index_t>* data = nullptr;
        ~Begins() { delete data; }
        void reset(index_t n) { data = new Buffer<index_t>(static_cast<std::size_t>(n)); }
        index_t& operator[](index_t k) const { return (*data)[static_cast<std::size_t>(k)]; }
    } begins_;

    static double extent(const CellAxis& a) { return a.period > 0 ? a.period : a.size; }

    void choose_axes() {
        for (index_t k = 0; k < p_.axes; ++k) {
            CellAxis a;
            a.axis = k;
            a.period = p_.period ? p_.period[k] : 0;
            if (!(a.period > 0)) {
                double low = p_.seen[k], high = low;
                for (index_t s = 1; s < p_.observations; ++s) {
                    const double x = p_.seen[s * p_.axes + k];
                    if (x < low) low = x;
                    if (x > high) high = x;
                }
                a.from = low;
                a.size = high - low;  // for now, its length
            }
            for (CellAxis& other : axes_)
                if (k < 3 ? &other - axes_ == k : extent(a) > extent(other)) {
                    const CellAxis shorter = other;
                    other = a;
                    if (k < 3) break;
                    a = shorter;
                }
        }
        for (index_t k = p_.axes; k < 3; ++k) axes_[k].size = 0;
    }

    void sort(index_t cells) {
        for (index_t k = 0; k < p_.axes; ++k)
            store(where_.get() + (k + 1) * size_ - lanes, vec_t<double>{});
        for (index_t c = 0; c <= cells; ++c) begins_[c] = 0;
        const auto cell = [&](index_t s) {
            const double* x = p_.seen + s * p_.axes;
            index_t c = 0;
            for (const CellAxis& a : axes_) c = c * a.count + a.cell(x[a.axis]);
            return c;
        };
        for (index_t s = 0; s < p_.observations; ++s) ++begins_[cell(s) + 1];
        for (index_t c = 0; c < cells; ++c) begins_[c + 1] += begins_[c];
        for (index_t s = p_.observations - 1; s >= 0; --s) {
            // from the last of a cell on; in the end begins_[c + 1] is where c begins
            const index_t to = --begins_[cell(s) + 1];
            number_[static_cast<std::size_t>(to)] = s;
            for (index_t k = 0; k < p_.axes; ++k)
                where_[static_cast<std::size_t>(k * size_ + to)] = p_.seen[s * p_.axes + k];
        }
        for (index_t c = 0; c < cells; ++c) begins_[c] = begins_[c + 1];
        begins_[cells] = p_.observations;
    }

    // The distance of two places, by the squares of its parts.
    double distance(double chord, double other) const {
        if (!(p_.radius > 0)) return std::sqrt(other);
        const double along = arc(std::sqrt(chord));
        return std::sqrt(along * along + other);
    }
    double arc(double chord) const {
        const double half = chord / (2 * p_.radius);
        return 2 * p_.radius * std::asin(half < 1 ? half : 1);
    }
};

}  // namespace neighbours_detail

// Counts, or fills in, the observations near each place, in order.
inline void find_near(const NearPairs& p) {
    const neighbours_detail::Cells cells(p);
    constexpr index_t run = 64;
    const index_t runs = (p.places + run - 1) / run;
    const Team team(runs, p.places * p.observations > 65536);
    team.for_each_uneven(runs, [&](int, index_t r) {
        const index_t end = (r + 1) * run < p.places ? (r + 1) * run : p.places;
        if (!p.indices) {
            for (index_t i = r * run; i < end; ++i)
                p.starts[i + 1] = cells.count(p.where + i * p.axes);
            return;
        }
        neighbours_detail::Marked marked(p.observations);
        const Buffer<double> distance(static_cast<std::size_t>(p.observations));
        for (index_t i = r * run; i < end; ++i) {
            cells.near(p.where + i * p.axes, [&](index_t s, double d) {
                marked.put(s);
                distance[static_cast<std::size_t>(s)] = d;
            });
            std::int64_t to = p.starts[i];
            marked.take_all([&](index_t s) {
                p.indices[to] = static_cast<std::int32_t>(s);
                p.distances[to++] = distance[static_cast<std::size_t>(s)];
            });
        }
    });
}

// Counts, or fills in, which of the pairs weigh something, and how much.
inline void taper_near(const TaperPairs& p) {
    constexpr index_t run = 64;
    const index_t runs = (p.places + run - 1) / run;
    const Team team(runs, p.places > 64);
    const auto weight = [&](double distance, double cutoff) {
        if (!(distance < cutoff)) return 0.0;
        if (p.step) return 1.0;
        // Gaspari, Cohn (1999), eq. 4.10, r = distance over half the cutoff
        const double r = 2 * distance / cutoff;
        if (r < 1) return 1 + r * r * (-5.0 / 3 + r * (5.0 / 8 + r * (0.5 - r / 4)));
        const double outer =
            4 + r * (-5 + r * (5.0 / 3 + r * (5.0 / 8 + r * (-0.5 + r / 12)))) - 2 / (3 * r);
        return outer > 0 ? outer : 0.0;
    };
    team.for_each_uneven(runs, [&](int, index_t t) {
        const index_t end = (t + 1) * run < p.places ? (t + 1) * run : p.places;
        for (index_t i = t * run; i < end; ++i) {
            const index_t place = p.chosen ? p.chosen[i] : i;
            std::int64_t to = p.indices ? p.starts[i] : 0;
            for (std::int64_t k = p.begins[place]; k < p.begins[place + 1]; ++k) {
                const std::int64_t s = p.numbers[p.observations[k]];
                if (s < 0) continue;
                const index_t kind = p.varies ? s : 0;
                if (!p.indices && p.amplitudes[kind] > 1e-200 &&
                    p.distances[k] < 0.95 * p.cutoffs[kind]) {  // surely
                    ++to;
                    continue;
                }
                const double rho = p.amplitudes[kind] * weight(p.distances[k], p.cutoffs[kind]);
                if (!(rho > 0)) continue;
                if (p.indices) p.indices[to] = s, p.rho[to] = rho;
                ++to;
            }
            if (!p.indices) p.starts[i + 1] = to;
        }
    });
}

ENFILT_CLOSE
