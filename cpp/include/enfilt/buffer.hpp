// Scratch memory: cache-line aligned, owned, not initialized.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>

#include "simd.hpp"

ENFILT_OPEN

template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable<T>::value, "scratch holds plain numbers");

  public:
    explicit Buffer(std::size_t size)
        : data_(static_cast<T*>(::operator new(size * sizeof(T), alignment))) {}
    ~Buffer() { ::operator delete(data_, alignment); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;

    T* get() const { return data_; }
    T& operator[](std::size_t k) const { return data_[k]; }

  private:
    static constexpr std::align_val_t alignment{64};
    T* data_;
};

ENFILT_CLOSE
