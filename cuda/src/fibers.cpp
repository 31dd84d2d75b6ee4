// Fibers for host_launcher.hpp: contexts of their own stacks, made once by makecontext() and
// switched by _setjmp() and _longjmp(), which unlike swapcontext() make no system call.
#undef _FORTIFY_SOURCE  // its longjmp() takes another stack for a corrupted one
#include <setjmp.h>
#include <ucontext.h>

#include <enfilt_cuda/host_launcher.hpp>

namespace enfilt::cuda {

namespace {

constexpr std::size_t stack_size = 128 * 1024;

struct Fiber {
    ucontext_t entry;
    jmp_buf at;
    std::unique_ptr<char[]> stack;
    bool made = false, ended = true;
};

struct Barrier {
    unsigned arrived = 0, generation = 0;
};

}  // namespace

struct Fibers::State {
    static constexpr unsigned most = 1024;
    Fiber fibers[most];
    Barrier block, warps[most / warp_size];
    double exchanged[most];
    jmp_buf caller;
    unsigned threads = 0, running = 0, alive = 0;
    unsigned long idle = 0;  // switches since the last that got anywhere
    bool descending = false, stuck = false;
    Body body = nullptr;
    void* argument = nullptr;

    // The next fiber in the order of this call, or the caller when none is left.
    void leave() {
        if (alive == 0) _longjmp(caller, 1);
        if (++idle > 4ul * threads + 4) {
            stuck = true;
            _longjmp(caller, 1);
        }
        do {
            running = (running + (descending ? threads - 1 : 1)) % threads;
        } while (fibers[running].ended);
        _longjmp(fibers[running].at, 1);
    }

    void wait(Barrier& barrier, unsigned participants) {
        if (++barrier.arrived == participants) {
            barrier.arrived = 0;
            ++barrier.generation;
            idle = 0;
            return;
        }
        const unsigned generation = barrier.generation;
        const unsigned self = running;
        while (barrier.generation == generation)
            if (_setjmp(fibers[self].at) == 0) leave();
    }

    // A fiber's life: from call to call it waits here.
    [[noreturn]] void live(unsigned self) {
        for (;;) {
            if (_setjmp(fibers[self].at) == 0) {
                if (!fibers[self].made) {
                    fibers[self].made = true;
                    _longjmp(caller, 1);
                }
                leave();
            }
            body(argument, self);
            fibers[self].ended = true;
            --alive;
            idle = 0;
        }
    }

    // makecontext() passes no pointers on
    static inline thread_local State* being_made_in = nullptr;
    static inline thread_local unsigned being_made = 0;

    void make(unsigned self);
};

void Fibers::State::make(unsigned self) {
    Fiber& fiber = fibers[self];
    fiber.stack.reset(new char[stack_size]);
    getcontext(&fiber.entry);
    fiber.entry.uc_stack.ss_sp = fiber.stack.get();
    fiber.entry.uc_stack.ss_size = stack_size;
    fiber.entry.uc_link = nullptr;
    makecontext(&fiber.entry, [] { being_made_in->live(being_made); }, 0);
    being_made_in = this;
    being_made = self;
    if (_setjmp(caller) == 0) setcontext(&fiber.entry);
}

Fibers::Fibers() : state_(std::make_unique<State>()) {}
Fibers::~Fibers() = default;

void Fibers::call(unsigned threads, bool descending, Body body, void* argument) {
    State& s = *state_;
    if (threads > State::most) throw std::runtime_error("more threads than a block may have");
    for (unsigned t = 0; t < threads; ++t)
        if (!s.fibers[t].made) s.make(t);
    for (unsigned t = 0; t < threads; ++t) s.fibers[t].ended = false;
    s.threads = s.alive = threads;
    s.descending = descending;
    s.body = body;
    s.argument = argument;
    s.idle = 0;
    s.stuck = false;
    s.running = descending ? threads - 1 : 0;
    if (_setjmp(s.caller) == 0) _longjmp(s.fibers[s.running].at, 1);
    if (s.stuck) {  // fibers stand in the middle of the body: begin again with new ones
        state_ = std::make_unique<State>();
        throw std::runtime_error("threads of a block wait at a barrier that others never reach");
    }
}

void Fibers::sync_block() { state_->wait(state_->block, state_->threads); }

void Fibers::sync_warp(unsigned thread) {
    state_->wait(state_->warps[thread / warp_size], warp_size);
}

double* Fibers::exchange(unsigned thread) { return state_->exchanged + thread; }

}  // namespace enfilt::cuda
