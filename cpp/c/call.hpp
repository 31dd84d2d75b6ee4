// Functions of enfilt.h around kernels: what fails becomes a code and a message.
#pragma once

#include <enfilt.h>

#include <exception>
#include <new>

#include "../kernels/dispatch.hpp"

namespace enfilt::c {

// Thrown where an argument does not fit, through `guarded` alone.
struct Failure {
    int code;
    char text[400];
};

[[noreturn]] void fail(int code, const char* format, ...) __attribute__((format(printf, 2, 3)));
// Keeps the message for this thread, and returns the code.
int remember(int code, const char* text) noexcept;
// Chooses the instruction set with the first call.
void be_ready();

template <class Body>
int guarded(Body&& body) noexcept {
    try {
        be_ready();
        body();
        return ENFILT_OK;
    } catch (const Failure& failure) {
        return remember(failure.code, failure.text);
    } catch (const std::bad_alloc&) {
        return remember(ENFILT_ERROR_MEMORY, "there is no memory for this call");
    } catch (const std::exception& error) {
        return remember(ENFILT_ERROR_INTERNAL, error.what());
    } catch (...) {
        return remember(ENFILT_ERROR_INTERNAL, "an exception that is none of the standard library's");
    }
}

}  // namespace enfilt::c
