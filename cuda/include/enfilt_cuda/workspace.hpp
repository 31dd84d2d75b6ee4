// The memory that an operation needs beside its arrays, in one piece that the caller provides.
#pragma once

#include <cstddef>
#include <cstdint>

namespace enfilt::cuda {

// Hands out parts of `base`, aligned for everything; without a base it only counts.
class Workspace {
  public:
    explicit Workspace(std::uintptr_t base = 0) : base_(base) {}

    template <class U>
    U* take(std::ptrdiff_t count) {
        constexpr std::size_t alignment = 256;
        const std::uintptr_t here = base_ + used_;
        used_ += (static_cast<std::size_t>(count) * sizeof(U) + alignment - 1) / alignment * alignment;
        return base_ ? reinterpret_cast<U*>(here) : nullptr;
    }

    bool counts_only() const { return base_ == 0; }
    std::size_t used() const { return used_; }

  private:
    std::uintptr_t base_;
    std::size_t used_ = 0;
};

}  // namespace enfilt::cuda
