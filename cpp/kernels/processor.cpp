// Compiled for any processor.
#include "processor.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace enfilt {

namespace {

enum Register { ebx, ecx };
enum State { any, vectors256, vectors512 };  // what the system has to save of it

struct Place {
    Feature feature;
    const char* name;
    unsigned leaf;
    Register in;
    int bit;
    State state;
};

// Where CPUID tells of each (Intel 64 and IA-32 Architectures Software Developer's Manual, vol. 2A).
constexpr Place places[] = {
    {sse3, "sse3", 1, ecx, 0, any},
    {ssse3, "ssse3", 1, ecx, 9, any},
    {sse4_1, "sse4.1", 1, ecx, 19, any},
    {sse4_2, "sse4.2", 1, ecx, 20, any},
    {popcnt, "popcnt", 1, ecx, 23, any},
    {cx16, "cx16", 1, ecx, 13, any},
    {sahf, "sahf", 0x80000001, ecx, 0, any},
    {avx, "avx", 1, ecx, 28, vectors256},
    {f16c, "f16c", 1, ecx, 29, vectors256},
    {avx2, "avx2", 7, ebx, 5, vectors256},
    {bmi, "bmi", 7, ebx, 3, any},
    {bmi2, "bmi2", 7, ebx, 8, any},
    {fma, "fma", 1, ecx, 12, vectors256},
    {lzcnt, "lzcnt", 0x80000001, ecx, 5, any},
    {movbe, "movbe", 1, ecx, 22, any},
    {xsave, "xsave", 1, ecx, 27, any},  // and the system has switched it on
    {avx512f, "avx512f", 7, ebx, 16, vectors512},
    {avx512bw, "avx512bw", 7, ebx, 30, vectors512},
    {avx512cd, "avx512cd", 7, ebx, 28, vectors512},
    {avx512dq, "avx512dq", 7, ebx, 17, vectors512},
    {avx512vl, "avx512vl", 7, ebx, 31, vectors512},
};

#if defined(__x86_64__)
// The state that the system saves: XCR0.
unsigned saved_state() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;
    unsigned low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool has(const Place& p, unsigned saved) {
    constexpr unsigned needed[] = {0, 0x6, 0xe6};
    if ((saved & needed[p.state]) != needed[p.state]) return false;
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (!__get_cpuid_count(p.leaf, 0, &a, &b, &c, &d)) return false;
    return (p.in == ebx ? b : c) >> p.bit & 1;
}
#endif

}  // namespace

std::uint32_t processor_features() {
    std::uint32_t found = 0;
#if defined(__x86_64__)
    const unsigned saved = saved_state();
    for (const Place& p : places)
        if (has(p, saved)) found |= p.feature;
#endif
    return found;
}

const char* feature_name(std::uint32_t feature) {
    for (const Place& p : places)
        if (p.feature == feature) return p.name;
    return "";
}

}  // namespace enfilt
