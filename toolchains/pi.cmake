# Toolchain for a 64-bit Raspberry Pi OS: Debian's aarch64-linux-gnu-g++, with the C library, the C++ library and
# every other library out of the tree that make-sysroot.sh made, so that nothing of the host's release leaks in.
#   PI_SYSROOT (cache or environment): the tree; default build/sysroot/pi of this project
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)

if(NOT PI_SYSROOT)
  set(PI_SYSROOT "$ENV{PI_SYSROOT}")
endif()
if(NOT PI_SYSROOT)
  set(PI_SYSROOT "${CMAKE_CURRENT_LIST_DIR}/../build/sysroot/pi")
endif()
get_filename_component(PI_SYSROOT "${PI_SYSROOT}" ABSOLUTE)
if(NOT EXISTS "${PI_SYSROOT}/usr/include/stdio.h")
  message(FATAL_ERROR "No arm64 tree in ${PI_SYSROOT}. Make it: toolchains/make-sysroot.sh pi ${PI_SYSROOT}")
endif()
set(PI_SYSROOT "${PI_SYSROOT}" CACHE PATH "The arm64 tree that make-sysroot.sh made")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PI_SYSROOT)

find_program(PI_GXX aarch64-linux-gnu-g++)
if(NOT PI_GXX)
  message(FATAL_ERROR "No aarch64-linux-gnu-g++. Install it: apt-get install g++-aarch64-linux-gnu")
endif()
set(CMAKE_SYSROOT "${PI_SYSROOT}")
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)

# Debian's cross compilers look into /usr/aarch64-linux-gnu, the host's own libraries for arm64, before --sysroot:
# leave them no default folder and name the tree's.
execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=include
                OUTPUT_VARIABLE pi_compiler_headers OUTPUT_STRIP_TRAILING_WHITESPACE)
file(GLOB pi_cxx_headers "${PI_SYSROOT}/usr/include/c++/[1-9]*")
list(GET pi_cxx_headers -1 pi_cxx_headers)
get_filename_component(pi_cxx_version "${pi_cxx_headers}" NAME)
set(pi_libraries "${PI_SYSROOT}/usr/lib/aarch64-linux-gnu")
string(JOIN " " pi_c_flags -nostdinc -isystem ${pi_compiler_headers}
       -isystem ${PI_SYSROOT}/usr/include/aarch64-linux-gnu -isystem ${PI_SYSROOT}/usr/include)
string(JOIN " " pi_cxx_flags -nostdinc++ -isystem ${pi_cxx_headers}
       -isystem ${PI_SYSROOT}/usr/include/aarch64-linux-gnu/c++/${pi_cxx_version}
       -isystem ${pi_cxx_headers}/backward)
set(CMAKE_C_FLAGS_INIT "${pi_c_flags}")
set(CMAKE_CXX_FLAGS_INIT "${pi_cxx_flags} ${pi_c_flags}")
foreach(kind IN ITEMS EXE SHARED MODULE)
  set(CMAKE_${kind}_LINKER_FLAGS_INIT "-B${pi_libraries} -L${PI_SYSROOT}/.cxx -L${pi_libraries}")
endforeach()

set(CMAKE_FIND_ROOT_PATH "${PI_SYSROOT}")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
set(ENV{PKG_CONFIG_PATH} "")
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${PI_SYSROOT}")
set(ENV{PKG_CONFIG_LIBDIR} "${pi_libraries}/pkgconfig:${PI_SYSROOT}/usr/share/pkgconfig")

# ctest runs the arm64 tests under it.
find_program(PI_EMULATOR NAMES qemu-aarch64 qemu-aarch64-static)
if(PI_EMULATOR)
  set(CMAKE_CROSSCOMPILING_EMULATOR "${PI_EMULATOR};-L;${PI_SYSROOT}")
endif()
