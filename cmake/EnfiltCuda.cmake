# Whether the CUDA kernels are built, by ENFILT_CUDA: AUTO, ON or OFF.
#
# They take as long to compile as all else together, so AUTO builds them only where they could run: where
# there is an nvcc of a usable version, and an NVIDIA driver that finds a GPU.

set(ENFILT_CUDA_OLDEST 12.4)

# Sets `nvcc` to the compiler that CMake would take for CUDA, and `trouble` to what speaks against
# it, if anything.
function(enfilt_find_nvcc nvcc trouble)
  if(CMAKE_CUDA_COMPILER)
    set(found "${CMAKE_CUDA_COMPILER}")
  elseif(NOT "$ENV{CUDACXX}" STREQUAL "")
    separate_arguments(words UNIX_COMMAND "$ENV{CUDACXX}")
    list(GET words 0 found)
  else()
    find_program(found nvcc NO_CACHE HINTS "${CUDAToolkit_ROOT}" ENV CUDAToolkit_ROOT
                 PATHS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
  endif()
  set(${nvcc} "" PARENT_SCOPE)
  if(NOT found)
    set(${trouble} "there is no nvcc" PARENT_SCOPE)
    return()
  endif()
  execute_process(COMMAND "${found}" --version OUTPUT_VARIABLE text ERROR_QUIET
                  RESULT_VARIABLE failed)
  if(failed OR NOT text MATCHES "release ([0-9]+\\.[0-9]+)")
    set(${trouble} "${found} does not say its version as nvcc does" PARENT_SCOPE)
  elseif(CMAKE_MATCH_1 VERSION_LESS ENFILT_CUDA_OLDEST)
    set(${trouble} "${found} is of CUDA ${CMAKE_MATCH_1} (needed: ${ENFILT_CUDA_OLDEST} or newer)"
        PARENT_SCOPE)
  else()
    if("$ENV{CUDACXX}" STREQUAL "")
      set(ENV{CUDACXX} "${found}") # where check_language and enable_language look
    endif()
    set(${nvcc} "${found}" PARENT_SCOPE)
    set(${trouble} "" PARENT_SCOPE)
  endif()
endfunction()

# Sets `answers` to whether a CUDA program could run here. The driver itself is asked: files in /proc
# and /dev differ between bare metal, containers, WSL and Jetson, and toolkits bring stubs of libcuda.
function(enfilt_ask_driver answers)
  set(question "import ctypes, sys; sys.exit(ctypes.CDLL('libcuda.so.1').cuInit(0) != 0)")
  execute_process(COMMAND "${Python_EXECUTABLE}" -c "${question}" RESULT_VARIABLE failed
                  OUTPUT_QUIET ERROR_QUIET TIMEOUT 60)
  if(failed)
    set(${answers} OFF PARENT_SCOPE)
  else()
    set(${answers} ON PARENT_SCOPE)
  endif()
endfunction()

# Sets `build` to ON or OFF. Needs Python_EXECUTABLE.
function(enfilt_choose_cuda build)
  set(${build} OFF PARENT_SCOPE)
  string(TOUPPER "${ENFILT_CUDA}" asked)
  if(NOT asked STREQUAL "AUTO" AND NOT asked)
    return()
  endif()
  enfilt_find_nvcc(nvcc trouble)
  if(asked STREQUAL "AUTO")
    if(NOT trouble)
      enfilt_ask_driver(answers)
      if(NOT answers)
        set(trouble "no NVIDIA driver with a GPU answers")
      endif()
    endif()
    if(NOT trouble)
      include(CheckLanguage)
      check_language(CUDA)
      if(NOT CMAKE_CUDA_COMPILER)
        set(trouble "${nvcc} compiles nothing with this C++ compiler")
      endif()
    endif()
    if(trouble)
      message(STATUS "enfilt: no CUDA kernels are built, as ${trouble}; to build them: -DENFILT_CUDA=ON, "
                     "with pip: pip install . --config-settings=cmake.define.ENFILT_CUDA=ON")
      return()
    endif()
  elseif(trouble)
    message(FATAL_ERROR "ENFILT_CUDA=${ENFILT_CUDA} asks for the CUDA kernels, but ${trouble}")
  endif()
  set(${build} ON PARENT_SCOPE)
endfunction()
