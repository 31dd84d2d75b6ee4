// Work shared out to threads: the one place that knows OpenMP.
//
// A kernel runs inside anyone's process, and so
// - a team is as large as the scratch that was taken for it, whatever the settings of nested
//   parallelism say, and one thread within a parallel region of the caller's;
// - a single thread runs a plain loop, since a region of one thread makes OpenMP throw away the
//   threads that it keeps;
// - what a thread throws (there may be no memory) is thrown again by the thread that called;
// - a caller may ask a running kernel to stop: see Interrupt;
// - the child of a fork has one thread, as those of its parent do not exist there;
// - without OpenMP all is serial.
#pragma once

#if defined(_OPENMP)
#include <omp.h>
#include <pthread.h>
#endif
// The thread sanitizer does not see how OpenMP begins and ends a region, nor how it hands the
// region's variables to the threads: Team tells it, and what does so is not looked at itself.
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define ENFILT_UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define ENFILT_UNSEEN
#endif

#include <time.h>

#include <exception>

#include "problem.hpp"
#include "simd.hpp"

ENFILT_OPEN

// Thrown by a kernel that was asked to stop, through the function that was called.
struct Interrupted : std::exception {
    const char* what() const noexcept override { return "enfilt: interrupted"; }
};

namespace parallel_detail {

// The request to stop that this thread's work may get, and whether it is the one that looks for it.
struct Listener {
    Interrupt* interrupt = nullptr;
    bool asks = false;
};
inline thread_local Listener listener;

inline long long nanoseconds() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<long long>(now.tv_sec) * 1000000000 + now.tv_nsec;
}

inline bool stopped(const Interrupt& interrupt) {
    return __atomic_load_n(&interrupt.stop, __ATOMIC_RELAXED) != 0;
}

#if defined(_OPENMP)
inline bool forked = false;

// Whether this process is the child of one that has loaded these kernels.
inline bool in_forked_child() {
    static const int watched = pthread_atfork(nullptr, nullptr, [] { forked = true; });
    return forked || watched != 0;
}
#endif

}  // namespace parallel_detail

// Lets the kernels that this thread calls be asked to stop; they then throw Interrupted.
class Interruptible {
  public:
    explicit Interruptible(Interrupt* interrupt) : before_(parallel_detail::listener) {
        parallel_detail::listener = {interrupt, true};
    }
    ~Interruptible() { parallel_detail::listener = before_; }
    Interruptible(const Interruptible&) = delete;
    Interruptible& operator=(const Interruptible&) = delete;

  private:
    parallel_detail::Listener before_;
};

// Throws Interrupted where the caller has asked for it. Every loop of a kernel whose round takes
// more than some milliseconds calls this, and fewer than a million times a second.
inline void check_interrupt() {
    using namespace parallel_detail;
    Interrupt* const interrupt = listener.interrupt;
    if (!interrupt) return;
    if (listener.asks) {
        constexpr long long pause = 30000000;
        const long long now = nanoseconds();
        if (now >= interrupt->next) {
            if (interrupt->next != 0 && interrupt->asked(interrupt->context))
                __atomic_store_n(&interrupt->stop, 1, __ATOMIC_RELAXED);
            interrupt->next = now + pause;
        }
    }
    if (stopped(*interrupt)) throw Interrupted{};
}

// How many threads a kernel that is called now may use.
inline int available_threads() {
#if defined(_OPENMP)
    return omp_in_parallel() || parallel_detail::in_forked_child() ? 1 : omp_get_max_threads();
#else
    return 1;
#endif
}

// The threads that share out one kind of loop. What they need of their own is taken before the
// loop, for `size()` of them.
class Team {
  public:
    // For loops of up to `tasks` tasks; of one thread where the work is not `worth` more.
    explicit Team(index_t tasks, bool worth = true) {
        if (!worth || tasks <= 1) return;
        const int threads = available_threads();
        size_ = tasks < threads ? static_cast<int>(tasks) : threads;
    }

    int size() const { return size_; }

    // Calls body(thread, task) for all tasks, each thread for a run of them.
    template <class Body>
    void for_each(index_t tasks, Body&& body) const {
        share(tasks, [&](int thread, int threads, const bool& failed) {
            const index_t end = tasks * (thread + 1) / threads;
            for (index_t t = tasks * thread / threads; t < end && !look(failed); ++t)
                body(thread, t);
        });
    }

    // The same where tasks take unequal times: a thread takes the next when it is done with one.
    template <class Body>
    void for_each_uneven(index_t tasks, Body&& body) const {
        index_t next = 0;
        share(tasks, [&](int thread, int, const bool& failed) {
            for (;;) {
                const index_t t = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED);
                if (t >= tasks || look(failed)) return;
                body(thread, t);
            }
        });
    }

  private:
    int size_ = 1;

    static bool look(const bool& failed) {
        check_interrupt();
        return __atomic_load_n(&failed, __ATOMIC_RELAXED);
    }

    // Calls part(thread, threads, failed) on each thread of a team.
    template <class Part>
    ENFILT_UNSEEN void share(index_t tasks, Part&& part) const {
        bool failed = false;
        const int threads = tasks < size_ ? static_cast<int>(tasks) : size_;
#if defined(_OPENMP)
        if (threads > 1) {
            std::exception_ptr failure;
            const parallel_detail::Listener caller = parallel_detail::listener;
            publish();
#pragma omp parallel num_threads(threads)
            {
                const int thread = omp_get_thread_num();
                receive();
                if (thread != 0) parallel_detail::listener = {caller.interrupt, false};
                try {
                    // the runtime may have given fewer threads than were asked for
                    part(thread, omp_get_num_threads(), failed);
                } catch (...) {
                    if (!__atomic_exchange_n(&failed, true, __ATOMIC_ACQ_REL))
                        failure = std::current_exception();
                }
                if (thread != 0) parallel_detail::listener = {};
                publish();
            }
            receive();
            if (failure) std::rethrow_exception(failure);
            return;
        }
#endif
        (void)threads;
        part(0, 1, failed);
    }

    // At the beginning and the end of a region what one thread has written is another's to read.
#if defined(__SANITIZE_THREAD__)
    static void publish() { __tsan_release(&gate_); }
    static void receive() { __tsan_acquire(&gate_); }
    static inline char gate_;
#else
    static void publish() {}
    static void receive() {}
#endif
};

ENFILT_CLOSE
