// The localized flow filter on a line: blocks of it in cache, each a panel of its pieces.
#pragma once

#include "lenff_sweep.hpp"
#include "observed.hpp"

ENFILT_OPEN

namespace lenff_detail {

// How a line is cut into blocks, which take all steps in cache: what a step can't know near the
// ends of a block grows by twice the reach a step, and is not written. Sums are taken over pairs of
// rows, so blocks, halos and pieces are of even length: a component is in the same pair however
// many threads the line is cut for.
template <class T>
struct LineCut {
    static constexpr index_t lanes = Blocks<T>::lanes;
    index_t halo = 0;  // before and behind a block
    index_t length;    // of what a block writes
    index_t pieces;    // components of a lane

    index_t blocks = 1;

    LineCut(const LenffWindow<T>& p, index_t reach, index_t threads) : length(p.dim) {
        const index_t far = 2 * reach * p.steps;
        const bool small = p.dim <= 2048 || p.dim <= 4 * far;
        if (small && p.periodic && p.dim % lanes == 0) {
            pieces = p.dim / lanes;  // the ring closes where the last lane meets the first
            return;
        }
        if (small && !p.periodic) {
            pieces = (p.dim + reach + lanes - 1) / lanes;  // between them nothing is observed
            return;
        }
        halo = far;
        // a block as large as the second-level cache holds, and of it at least four fifths to
        // write; but some blocks for every thread
        index_t most = (index_t{1} << 20) / (p.members * static_cast<index_t>(sizeof(T)));
        most = most < 8 * halo ? 8 * halo : most;
        const index_t least = 4 * halo < 1024 ? 1024 : 4 * halo;
        index_t target = p.dim / 8;
        target = target < least ? least : target;
        target = target > most ? most : target;
        blocks = (p.dim + target - 1) / target;
        // the same number for each thread, as long as a block is not mostly halo
        const index_t shared = round_up(blocks, threads);
        if (p.dim / shared >= (halo > 512 ? halo : 512)) blocks = shared;
        length = round_up((p.dim + blocks - 1) / blocks, 2);
        blocks = (p.dim + length - 1) / length;
        // every k-th component then stands in the same rows for all lanes
        const index_t stride = p.observed->indices ? 1 : p.observed->stride;
        const index_t unit = stride < 16 && stride % 2 != 0 ? 2 * stride : stride < 16 ? stride : 2;
        pieces = round_up((length + 2 * halo + lanes - 1) / lanes, unit);
    }
};

// A block of a line as a panel.
template <class T>
class LineBlock {
  public:
    static constexpr index_t lanes = Blocks<T>::lanes;

    static index_t scratch(const LenffWindow<T>& p, const Taps<T>& taps, const LineCut<T>& cut) {
        return rows(taps, cut) * (p.members + 2) * lanes + 2 * lanes * cut.pieces;
    }

    LineBlock(const LenffWindow<T>& p, const Taps<T>& taps, const LineCut<T>& cut, T* memory)
        : p_(p), cut_(cut), head_(Sweep<T, true>::head(taps)), rows_(rows(taps, cut)),
          size_(p.members * lanes), x_(memory), y_(x_ + rows_ * size_),
          weight_(y_ + rows_ * lanes), line_(weight_ + rows_ * lanes) {}

    void fetch(index_t first) const {
        const index_t from = first - cut_.halo, n = cut_.pieces * lanes;
        for (index_t j = 0; j < p_.members; ++j) {
            const T* x = p_.x + j * p_.dim;
            std::memset(line_, 0, static_cast<std::size_t>(n) * sizeof(T));
            for_each_run(from, n, [&](index_t place, index_t component, index_t count) {
                const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
                std::memcpy(line_ + place, x + component, bytes);
            });
            fold(line_, x_ + j * lanes, size_);
        }
        T* weight = line_ + n;
        std::memset(line_, 0, static_cast<std::size_t>(2 * n) * sizeof(T));
        for_each_run(from, n, [&](index_t place, index_t component, index_t count) {
            observe(component, count, line_ + place, weight + place);
        });
        fold(line_, y_, lanes);
        fold(weight, weight_, lanes);
        turn(y_, lanes);
        turn(weight_, lanes);
    }

    // What lies beyond the pieces: their neighbours' rows as they are now.
    void turn() const { turn(x_, size_); }

    void write(index_t first) const {
        const index_t end = p_.dim - first < cut_.length ? p_.dim - first : cut_.length;
        const std::size_t bytes = static_cast<std::size_t>(end) * sizeof(T);
        for (index_t j = 0; j < p_.members; ++j) {
            const T* x = x_ + head_ * size_ + j * lanes;
            for (index_t k = 0; k < cut_.pieces; ++k)
                for (index_t l = 0; l < lanes; ++l) line_[l * cut_.pieces + k] = x[k * size_ + l];
            std::memcpy(p_.out + j * p_.dim + first, line_ + cut_.halo, bytes);
        }
    }

    void give(index_t r, const T*& state, const T*& y, const T*& weight) const {
        state = x_ + (head_ + r) * size_;
        y = y_ + (head_ + r) * lanes;
        weight = weight_ + (head_ + r) * lanes;
    }
    ENFILT_INLINE void take(index_t r, index_t member, index_t, vec_t<T> value) const {
        store(x_ + (head_ + r) * size_ + member * lanes, value);
    }

  private:
    static index_t rows(const Taps<T>& taps, const LineCut<T>& cut) {
        return Sweep<T, true>::head(taps) + cut.pieces + Sweep<T, true>::tail(taps);
    }

    // Calls body(place from `from` on, component, count) for runs within the line.
    template <class Body>
    void for_each_run(index_t from, index_t n, Body&& body) const {
        index_t place = !p_.periodic && from < 0 ? -from : 0;
        while (place < n && (p_.periodic || from + place < p_.dim)) {
            const index_t component = ((from + place) % p_.dim + p_.dim) % p_.dim;
            const index_t left = p_.dim - component;
            const index_t count = left < n - place ? left : n - place;
            body(place, component, count);
            place += count;
        }
    }

    // In parts of its own memory: whole vectors are written, and what lies behind is another run.
    void observe(index_t component, index_t count, T* y, T* weight) const {
        constexpr index_t part = 64;
        T buffer[2 * part];
        for (index_t d = 0; d < count; d += part) {
            const index_t n = count - d < part ? count - d : part;
            spread_observations(*p_.observed, component + d, n, buffer, buffer + part);
            std::memcpy(y + d, buffer, static_cast<std::size_t>(n) * sizeof(T));
            std::memcpy(weight + d, buffer + part, static_cast<std::size_t>(n) * sizeof(T));
        }
    }

    // Puts a block where it stands in a panel. Lanes inside: a vector of the panel is filled at
    // once, and the pieces are as many streams that are read.
    void fold(const T* line, T* to, index_t size) const {
        to += head_ * size;
        for (index_t k = 0; k < cut_.pieces; ++k)
            for (index_t l = 0; l < lanes; ++l) to[k * size + l] = line[l * cut_.pieces + k];
    }

    void turn(T* x, index_t size) const {
        const index_t pieces = cut_.pieces;
        const auto turn_row = [&](index_t r) {
            const index_t from = (r % pieces + pieces) % pieces;
            const index_t lane = ((r - from) / pieces % lanes + lanes) % lanes;
            T twice[2 * lanes];
            for (index_t d = 0; d < size; d += lanes) {
                const vec_t<T> v = load(x + (head_ + from) * size + d);
                store(twice, v);
                store(twice + lanes, v);
                store(x + (head_ + r) * size + d, load(twice + lane));
            }
        };
        for (index_t r = -head_; r < 0; ++r) turn_row(r);
        for (index_t r = pieces; r < rows_ - head_; ++r) turn_row(r);
    }

    const LenffWindow<T>& p_;
    const LineCut<T>& cut_;
    const index_t head_, rows_, size_;
    T *x_, *y_, *weight_, *line_;
};

template <class T>
void lenff_line(const LenffWindow<T>& p) {
    using S = Sweep<T, true>;
    const Taps<T> taps(p, true);
    const LineCut<T> cut(p, taps.reach[0], available_threads());
    const index_t sweep_size = round_up(S::scratch(taps, p.members, S::lanes), 64);
    const Team team(cut.blocks);
    const Scratch<T> scratch(sweep_size + round_up(LineBlock<T>::scratch(p, taps, cut), 64), 1,
                             team);
    team.for_each_uneven(cut.blocks, [&](int thread, index_t b) {
        T* memory = scratch.of(thread);
        LineBlock<T> block(p, taps, cut, memory + sweep_size);
        const S sweep(p, taps, S::lanes, memory);
        block.fetch(b * cut.length);
        for (index_t k = 0; k < p.steps; ++k) {
            check_interrupt();
            block.turn();
            sweep.run(block, 0, cut.pieces, static_cast<T>(p.pseudo_times[k]));
        }
        block.write(b * cut.length);
    });
}

}  // namespace lenff_detail

ENFILT_CLOSE
