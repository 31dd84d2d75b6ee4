#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

#include "call.hpp"

namespace enfilt::c {

namespace {

thread_local char last_error[sizeof Failure::text] = "";

bool choose() {
    choose_level();
    const char* wanted = std::getenv("ENFILT_SIMD");
    if (wanted && *wanted && !use_level(wanted)) {
        std::string usable;
        for (const std::string& name : usable_levels()) usable += (usable.empty() ? "" : ", ") + name;
        fail(ENFILT_ERROR_PROCESSOR,
             "ENFILT_SIMD=%.40s can't be used on this processor or build: expected one of %s", wanted,
             usable.c_str());
    }
    return true;
}

}  // namespace

void fail(int code, const char* format, ...) {
    Failure failure;
    failure.code = code;
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(failure.text, sizeof failure.text, format, arguments);
    va_end(arguments);
    throw failure;
}

int remember(int code, const char* text) noexcept {
    std::snprintf(last_error, sizeof last_error, "%s", text);
    return code;
}

void be_ready() {
    try {
        static const bool ready = choose();  // made again after an exception
        (void)ready;
    } catch (const std::runtime_error& error) {
        fail(ENFILT_ERROR_PROCESSOR, "%s", error.what());
    }
}

}  // namespace enfilt::c

using namespace enfilt::c;

const char* enfilt_last_error(void) { return last_error; }

const char* enfilt_version(void) { return ENFILT_VERSION; }

const char* enfilt_simd(void) {
    return guarded([] {}) == ENFILT_OK ? enfilt::level().name : "";
}
