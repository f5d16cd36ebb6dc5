// A DLL that is none of Wintun: it has the functions up to a certain one.

#define EXPORT extern "C" __declspec(dllexport)

EXPORT void WintunCreateAdapter() {}
EXPORT void WintunCloseAdapter() {}
EXPORT void WintunGetAdapterLUID() {}
EXPORT void WintunGetRunningDriverVersion() {}
EXPORT void WintunStartSession() {}
EXPORT void WintunEndSession() {}
