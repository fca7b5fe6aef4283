# `cpack` in a build folder makes a Debian package of each program that was built for it:
#   preset pi        pulsemeter-meter_VERSION_arm64.deb (with -D PULSEMETER_SERVER=ON the server's as well)
#   preset release   pulsemeter-server_VERSION_amd64.deb
# On Debian 12 a meter-pi for this machine is left out: it links a libgpiod that no package of Debian 12 brings.
# Whoever builds a package is nobody that its users could write to, and the project has no mailbox: a name under .invalid
# (RFC 2606), which can never be somebody else's. A distributor sets an address that is read.
set(PULSEMETER_CONTACT "The pulsemeter authors <authors@pulsemeter.invalid>" CACHE STRING
    "Whom the packages name as their maintainer")

# pulsemeter_package(meter PROGRAM meter-pi SECRET FILE DESCRIPTION … [AFTER_INSTALLATION …] [PURGE …])
# installs what a component has besides its program, out of SOURCE/systemd, and makes its maintainer scripts out of
# toolchains/debian. The last two are lines of shell.
function(pulsemeter_package component)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "PROGRAM;SECRET;DESCRIPTION;AFTER_INSTALLATION;PURGE" "")
  set(package pulsemeter-${component})
  set(program ${arg_PROGRAM})
  set(secret ${arg_SECRET})
  set(after_installation "${arg_AFTER_INSTALLATION}")
  set(purge "${arg_PURGE}")
  set(made ${CMAKE_CURRENT_BINARY_DIR}/debian)
  foreach(script IN ITEMS postinst prerm postrm)
    configure_file(${PROJECT_SOURCE_DIR}/toolchains/debian/${script}.in ${made}/${script} @ONLY
                   FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND scripts ${made}/${script})
  endforeach()
  set(linked "")
  if(PULSEMETER_STATIC)
    set(linked "Comment:
 Linked into the programs for the Pi, each with its licence: Eclipse Paho C and C++
 (EPL-2.0 or EDL-1.0), OpenSSL (Apache-2.0), libgpiod (LGPL-2.1-or-later), SQLite
 (public domain), Boost (BSL-1.0), CLI11 (BSD-3-clause), tl::expected (CC0-1.0),
 SQLiteCpp, fmt, spdlog, toml++ and nlohmann-json (Expat). Their texts are in the
 Debian packages of these libraries; the sources of pulsemeter can be linked with
 others of them anew.
")
  endif()
  foreach(file IN ITEMS copyright changelog)
    configure_file(${PROJECT_SOURCE_DIR}/toolchains/debian/${file}.in ${made}/${file} @ONLY)
  endforeach()

  find_program(GZIP gzip REQUIRED)
  mark_as_advanced(GZIP)
  set(manual ${CMAKE_CURRENT_SOURCE_DIR}/${program}.1)
  add_custom_command(OUTPUT ${made}/${program}.1.gz ${made}/changelog.gz
    COMMAND ${GZIP} -9nc ${manual} > ${made}/${program}.1.gz
    COMMAND ${GZIP} -9nc ${made}/changelog > ${made}/changelog.gz
    DEPENDS ${manual} ${made}/changelog VERBATIM)
  add_custom_target(${package}-documents DEPENDS ${made}/${program}.1.gz)
  add_dependencies(${program} ${package}-documents) # so that who builds the program alone can pack it

  install(TARGETS ${program} RUNTIME COMPONENT ${component})
  install(FILES ${made}/${program}.1.gz DESTINATION share/man/man1 COMPONENT ${component})
  install(FILES ${made}/copyright ${made}/changelog.gz DESTINATION share/doc/${package} COMPONENT ${component})
  install(FILES systemd/${package}.service DESTINATION lib/systemd/system COMPONENT ${component})
  install(FILES systemd/${package}.sysusers DESTINATION lib/sysusers.d RENAME ${package}.conf COMPONENT ${component})

  string(TOUPPER ${component} key)
  set(depends "systemd (>= 252)")
  if(PULSEMETER_STATIC)
    string(PREPEND depends "libc6 (>= 2.36), ")
  else()
    set(CPACK_DEBIAN_${key}_PACKAGE_SHLIBDEPS ON CACHE INTERNAL "")
  endif()
  set(CPACK_DEBIAN_${key}_PACKAGE_NAME ${package} CACHE INTERNAL "")
  set(CPACK_DEBIAN_${key}_PACKAGE_DEPENDS "${depends}" CACHE INTERNAL "")
  set(CPACK_DEBIAN_${key}_PACKAGE_CONTROL_EXTRA "${scripts}" CACHE INTERNAL "")
  set_property(GLOBAL APPEND PROPERTY pulsemeter_packages ${component})
  set_property(GLOBAL PROPERTY pulsemeter_${key}_description "${arg_DESCRIPTION}")
endfunction()

# Last of all, when every component is known.
macro(pulsemeter_make_packages)
  get_property(CPACK_COMPONENTS_ALL GLOBAL PROPERTY pulsemeter_packages)
  foreach(component IN LISTS CPACK_COMPONENTS_ALL)
    string(TOUPPER ${component} key) # the cache, which the other variables use, takes no line break
    get_property(CPACK_DEBIAN_${key}_DESCRIPTION GLOBAL PROPERTY pulsemeter_${key}_description)
  endforeach()
  set(CPACK_GENERATOR DEB)
  set(CPACK_DEB_COMPONENT_INSTALL ON)
  set(CPACK_COMPONENTS_GROUPING IGNORE)
  set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
  set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${PULSEMETER_CONTACT}")
  set(CPACK_DEBIAN_PACKAGE_SECTION misc)
  set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
      WORLD_READ WORLD_EXECUTE)
  set(CPACK_STRIP_FILES ON)
  if(CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
    set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  endif()
  include(CPack)
endmacro()
