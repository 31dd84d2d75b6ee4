// The part of a state that the kernels called by this thread work on: see Share in problem.hpp.
#pragma once

#include "problem.hpp"
#include "simd.hpp"

ENFILT_OPEN

namespace share_detail {
inline thread_local const Share* current = nullptr;
}

// Null: a kernel's state is all there is. Looked at where a kernel begins, on its caller's thread.
inline const Share* current_share() { return share_detail::current; }

// Says what the kernels that this thread calls have a part of.
class Sharing {
  public:
    explicit Sharing(const Share* share) : before_(share_detail::current) {
        share_detail::current = share;
    }
    ~Sharing() { share_detail::current = before_; }
    Sharing(const Sharing&) = delete;
    Sharing& operator=(const Sharing&) = delete;

  private:
    const Share* before_;
};

ENFILT_CLOSE
