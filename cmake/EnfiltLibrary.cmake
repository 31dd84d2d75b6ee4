# libenfilt, for C, Fortran, and C++ codes whose speed is not to depend on their flags: the kernels of
# all instruction sets behind the functions of enfilt.h, which alone are seen from outside.
#
# A wheel carries the shared library, without the links by which a system keeps several versions.

add_library(
  enfilt_c_objects OBJECT
  cpp/c/errors.cpp
  cpp/c/ensemble.cpp
  cpp/c/local.cpp
  cpp/c/others.cpp
  cpp/c/plans.cpp
  cpp/c/samplers.cpp)
target_link_libraries(enfilt_c_objects PRIVATE enfilt_options)
# schedules are those of Python to the last bit
target_compile_options(enfilt_c_objects PRIVATE -ffp-contract=off)
target_compile_definitions(enfilt_c_objects PRIVATE ENFILT_VERSION="${PROJECT_VERSION}")

set(kinds SHARED)
if(NOT SKBUILD)
  list(APPEND kinds STATIC)
endif()
foreach(kind IN LISTS kinds)
  string(TOLOWER ${kind} name)
  set(target enfilt_c_${name})
  add_library(${target} ${kind} $<TARGET_OBJECTS:enfilt_c_objects> ${kernels})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME enfilt LINKER_LANGUAGE CXX
                                             EXPORT_NAME c_${name})
  add_library(enfilt::c_${name} ALIAS ${target})
  target_include_directories(
    ${target} INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/cpp/include>
                        $<INSTALL_INTERFACE:${to_include}>)
  if(ENFILT_OPENMP AND OpenMP_CXX_FOUND)
    target_link_libraries(${target} PRIVATE $<BUILD_INTERFACE:OpenMP::OpenMP_CXX>)
  endif()
  if(ENFILT_SANITIZE)
    target_link_options(${target} PUBLIC $<BUILD_INTERFACE:${sanitizers}>)
  endif()
  install(TARGETS ${target} EXPORT enfiltTargets LIBRARY DESTINATION ${to_lib} ARCHIVE DESTINATION ${to_lib})
endforeach()
if(CMAKE_SYSTEM_NAME STREQUAL "Linux") # templates of the C++ library would be seen, too
  target_link_options(enfilt_c_shared PRIVATE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/cmake/enfilt.map)
endif()
if(NOT SKBUILD)
  set_target_properties(enfilt_c_shared PROPERTIES VERSION ${PROJECT_VERSION}
                                                   SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  # who links it needs what C++ brings along
  set(brought stdc++ m)
  if(CMAKE_CXX_COMPILER_ID MATCHES "AppleClang")
    set(brought c++)
  endif()
  if(ENFILT_OPENMP AND OpenMP_CXX_FOUND)
    list(APPEND brought ${OpenMP_CXX_LIB_NAMES})
  endif()
  target_link_libraries(enfilt_c_static INTERFACE $<INSTALL_INTERFACE:${brought}>)
endif()
add_library(enfilt_c INTERFACE)
set_target_properties(enfilt_c PROPERTIES EXPORT_NAME c)
add_library(enfilt::c ALIAS enfilt_c)
target_link_libraries(enfilt_c INTERFACE enfilt_c_shared)
install(TARGETS enfilt_c EXPORT enfiltTargets)

# Modules of one Fortran compiler are none of another's: the source is installed, and compiled by who
# links enfilt::fortran.
add_library(enfilt_fortran INTERFACE)
set_target_properties(enfilt_fortran PROPERTIES EXPORT_NAME fortran)
add_library(enfilt::fortran ALIAS enfilt_fortran)
target_sources(
  enfilt_fortran
  INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/cpp/include/enfilt.f90>
            $<INSTALL_INTERFACE:$<INSTALL_PREFIX>/${to_include}/enfilt.f90>)
target_link_libraries(enfilt_fortran INTERFACE enfilt_c)
install(TARGETS enfilt_fortran EXPORT enfiltTargets)
install(FILES cpp/include/enfilt.h cpp/include/enfilt.f90 DESTINATION ${to_include})

file(RELATIVE_PATH from_pkgconfig /${to_lib}/pkgconfig /)
if(SKBUILD)
  set(from_pkgconfig ../../)
endif()
set(pkgconfig_include include)
set(pkgconfig_lib lib)
if(NOT SKBUILD)
  set(pkgconfig_include ${to_include})
  set(pkgconfig_lib ${to_lib})
endif()
configure_file(cmake/enfilt.pc.in enfilt.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/enfilt.pc DESTINATION ${to_lib}/pkgconfig)
