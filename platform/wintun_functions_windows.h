// What wintun.dll exports, as its own header documents it (api/wintun.h of version 0.14).
#pragma once

#include "platform/wintun.h"

namespace hairpin::platform {

using WintunAdapter = struct WintunAdapterHandle*;
using WintunSession = struct WintunSessionHandle*;

struct WintunLibrary::Functions {
  WintunAdapter(WINAPI* create_adapter)(LPCWSTR name, LPCWSTR type, const GUID* requested);
  void(WINAPI* close_adapter)(WintunAdapter adapter);
  void(WINAPI* get_adapter_luid)(WintunAdapter adapter, NET_LUID* luid);
  DWORD(WINAPI* get_running_driver_version)();
  WintunSession(WINAPI* start_session)(WintunAdapter adapter, DWORD capacity);
  void(WINAPI* end_session)(WintunSession session);
  HANDLE(WINAPI* get_read_wait_event)(WintunSession session);
  BYTE*(WINAPI* receive_packet)(WintunSession session, DWORD* size);
  void(WINAPI* release_receive_packet)(WintunSession session, const BYTE* packet);
  BYTE*(WINAPI* allocate_send_packet)(WintunSession session, DWORD size);
  void(WINAPI* send_packet)(WintunSession session, const BYTE* packet);
};

}  // namespace hairpin::platform
