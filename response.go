package portkey

import (
	"net/http"
	"strconv"
)

// ResponseInfo is what the gateway reports about a call in the x-portkey-* headers of
// its response. It is zero if the gateway rejected the request before routing it, for
// example with status 400.
type ResponseInfo struct {
	// TraceID is the trace ID of the call. Header x-portkey-trace-id.
	TraceID string
	// Provider is the provider that responded. Header x-portkey-provider.
	Provider string
	// LastUsedOption is the part of the config that was used last: "config", or
	// "config.targets[1]". Header x-portkey-last-used-option-index.
	LastUsedOption string
	// CacheStatus reports whether the response came from the cache. Header
	// x-portkey-cache-status.
	CacheStatus CacheStatus
	// RetryAttempts is the number of retries: 0 if the first attempt succeeded, -1 if
	// all retries failed. Header x-portkey-retry-attempt-count.
	RetryAttempts int
	// GatewayException reports that the gateway failed, not the provider. The other
	// fields are then zero. Header x-portkey-gateway-exception.
	GatewayException bool
}

// CacheStatus reports what the gateway's cache did.
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

// ParseResponse returns the ResponseInfo in the headers of a response. An invalid
// retry count is parsed as 0.
func ParseResponse(h http.Header) ResponseInfo {
	attempts, err := strconv.Atoi(h.Get("X-Portkey-Retry-Attempt-Count"))
	if err != nil {
		attempts = 0 // also if it is too large
	}
	return ResponseInfo{
		TraceID:          h.Get("X-Portkey-Trace-Id"),
		Provider:         h.Get("X-Portkey-Provider"),
		LastUsedOption:   h.Get("X-Portkey-Last-Used-Option-Index"),
		CacheStatus:      CacheStatus(h.Get("X-Portkey-Cache-Status")),
		RetryAttempts:    attempts,
		GatewayException: h.Get("X-Portkey-Gateway-Exception") == "true",
	}
}
