package portkey

import (
	"net/http"
	"strconv"
)

// ResponseInfo is what the gateway says about a call, in the x-portkey-* headers
// of its response. It is zero for a response that no gateway routed, such as
// the 400 for a request that it could not make sense of.
type ResponseInfo struct {
	// TraceID is the call's trace. Header x-portkey-trace-id.
	TraceID string
	// Provider is the provider that answered. Header x-portkey-provider.
	Provider string
	// LastUsedOption is the part of the config that was used last: "config", or
	// "config.targets[1]". Header x-portkey-last-used-option-index.
	LastUsedOption string
	// CacheStatus says if the answer came from the cache. Header x-portkey-cache-status.
	CacheStatus CacheStatus
	// RetryAttempts is how often the gateway tried again: 0 if the first attempt
	// was answered, -1 if all were used up. Header x-portkey-retry-attempt-count.
	RetryAttempts int
	// GatewayException says that the gateway itself failed, not the provider. The
	// other fields are then zero. Header x-portkey-gateway-exception.
	GatewayException bool
}

// CacheStatus is what the gateway's cache did.
type CacheStatus string

// The values of x-portkey-cache-status.
const (
	CacheHit          CacheStatus = "HIT"
	CacheSemanticHit  CacheStatus = "SEMANTIC HIT"
	CacheMiss         CacheStatus = "MISS"
	CacheSemanticMiss CacheStatus = "SEMANTIC MISS"
	CacheDisabled     CacheStatus = "DISABLED"
	CacheRefresh      CacheStatus = "REFRESH"
)

// ParseResponse reads the gateway's headers of a response. A retry count that is
// not a number reads as 0.
func ParseResponse(h http.Header) ResponseInfo {
	attempts, _ := strconv.Atoi(h.Get("X-Portkey-Retry-Attempt-Count"))
	return ResponseInfo{
		TraceID:          h.Get("X-Portkey-Trace-Id"),
		Provider:         h.Get("X-Portkey-Provider"),
		LastUsedOption:   h.Get("X-Portkey-Last-Used-Option-Index"),
		CacheStatus:      CacheStatus(h.Get("X-Portkey-Cache-Status")),
		RetryAttempts:    attempts,
		GatewayException: h.Get("X-Portkey-Gateway-Exception") == "true",
	}
}
