# cmake -D FILE=program -D READELF=readelf -D GLIBC=2.36 -P portable.cmake
# Refuses a program that asks more of a Pi than its C library, or a newer one than GLIBC.
execute_process(COMMAND ${READELF} -dVW ${FILE} OUTPUT_VARIABLE elf COMMAND_ERROR_IS_FATAL ANY)

string(REGEX MATCHALL "\\(NEEDED\\)[^\n]*" needed_lines "${elf}")
if(NOT needed_lines)
  message(SEND_ERROR "${FILE} names no library at all: is it a dynamic program?")
endif()
foreach(line IN LISTS needed_lines)
  string(REGEX REPLACE ".*\\[(.*)\\]" "\\1" library "${line}")
  if(NOT library MATCHES "^(libc|libm|ld-linux-aarch64)\\.so\\.[0-9]+$")
    message(SEND_ERROR "${FILE} needs ${library}")
  endif()
endforeach()

string(REGEX MATCHALL "GLIBC_[0-9.]+" versions "${elf}")
list(REMOVE_DUPLICATES versions)
foreach(version IN LISTS versions)
  string(REPLACE "GLIBC_" "" version "${version}")
  if(version VERSION_GREATER GLIBC)
    message(SEND_ERROR "${FILE} needs glibc ${version}, newer than ${GLIBC}")
  endif()
endforeach()
