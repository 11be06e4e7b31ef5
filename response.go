package portkey

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// ResponseInfo is what the gateway reports about a call in the status and the
// x-portkey-* headers of its response. If the gateway rejected the request before routing
// it, for example with status 400, only StatusCode is set.
type ResponseInfo struct {
	// StatusCode is the HTTP status: [StatusGuardrailFailed] looks like 200 to most
	// clients. It is 0 if there was no response, and in the result of [ParseResponse].
	StatusCode int
	// FailedOpen reports that the call was sent to its provider, without the gateway: see
	// Options.FailOpen. All other fields but StatusCode are then zero.
	FailedOpen bool
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

// Statuses of the gateway that net/http has no names for. In both cases the response
// body has [HookResults].
const (
	StatusGuardrailFailed = 246 // a guardrail failed; the response is a normal one
	StatusGuardrailDenied = 446 // a guardrail denied the request; the response is an error
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

// HookResults reports the guardrails that ran for a call. Portkey documents it as the
// member hook_results of a response body, also with status 200:
//
//	var body struct {
//		HookResults portkey.HookResults `json:"hook_results"`
//	}
//
// Event streams contain it, in an event of its own, only with
// Headers.StrictOpenAICompliance set to false.
type HookResults struct {
	BeforeRequestHooks []HookResult `json:"before_request_hooks,omitempty"` // of the prompt
	AfterRequestHooks  []HookResult `json:"after_request_hooks,omitempty"`  // of the response
}

// A HookResult is the result of one guardrail.
type HookResult struct {
	ID            string        `json:"id"`
	Type          string        `json:"type"`        // "guardrail"
	Verdict       bool          `json:"verdict"`     // whether the guardrail passed
	Deny          bool          `json:"deny"`        // whether a failure denies the request
	Async         bool          `json:"async"`       // whether it ran beside the call, which then had status 200
	Transformed   bool          `json:"transformed"` // whether it changed the prompt or the response
	Checks        []HookCheck   `json:"checks"`
	Feedback      *HookFeedback `json:"feedback,omitempty"` // sent to Portkey for the call's trace
	ExecutionTime float64       `json:"execution_time"`     // in milliseconds
	CreatedAt     string        `json:"created_at"`         // in RFC 3339
}

// A HookCheck is the result of one check of a guardrail.
type HookCheck struct {
	ID            string          `json:"id"` // "default.wordCount"
	Verdict       bool            `json:"verdict"`
	Transformed   bool            `json:"transformed"`
	FailOnError   bool            `json:"fail_on_error,omitempty"`
	Data          json.RawMessage `json:"data,omitempty"`  // what the check found, an object
	Error         json.RawMessage `json:"error,omitempty"` // why the check could not run, a string or an object
	Log           string          `json:"log,omitempty"`
	ExecutionTime float64         `json:"execution_time"` // in milliseconds
	CreatedAt     string          `json:"created_at"`     // in RFC 3339
}

// HookFeedback is the feedback that a guardrail sends to Portkey.
type HookFeedback struct {
	Value    float64              `json:"value"`
	Weight   float64              `json:"weight"`
	Metadata HookFeedbackMetadata `json:"metadata"`
}

// HookFeedbackMetadata lists the IDs of checks, separated by commas.
type HookFeedbackMetadata struct {
	SuccessfulChecks string `json:"successfulChecks"`
	FailedChecks     string `json:"failedChecks"`
	ErroredChecks    string `json:"erroredChecks"`
}
