package portkeytest

import (
	"encoding/json"
	"net/http"
)

// savedOnlyRules lists what saved-only mode refuses, in the order of Portkey's documentation. The messages and fields
// are documented only for inline_provider_blocked.
var savedOnlyRules = []struct {
	code, message string
	headers       []string
	isAllowed     func(value string) bool // nil if no value is allowed
}{
	{
		code:      "inline_config_blocked",
		message:   "Inline configs are not allowed when saved-only mode is enabled. Use the slug of a saved config instead.",
		headers:   []string{"x-portkey-config"},
		isAllowed: func(value string) bool { return !json.Valid([]byte(value)) },
	},
	{
		code: "inline_provider_blocked",
		message: "Inline provider names are not allowed when saved-only mode is enabled. " +
			"Use a saved integration via '@slug' instead.",
		headers:   []string{"x-portkey-provider"},
		isAllowed: isSavedProvider,
	},
	{
		code:    "inline_custom_host_blocked",
		message: "Custom hosts are not allowed when saved-only mode is enabled.",
		headers: []string{"x-portkey-custom-host"},
	},
	{
		code:    "inline_provider_url_blocked",
		message: "Provider URLs are not allowed when saved-only mode is enabled.",
		headers: []string{"x-portkey-huggingface-base-url", "x-portkey-azure-foundry-url", "x-portkey-databricks-workspace"},
	},
	{
		code:    "inline_forward_headers_blocked",
		message: "Forwarded headers are not allowed when saved-only mode is enabled.",
		headers: []string{"x-portkey-forward-headers"},
	},
}

// checkSavedOnly returns the gateway's response to a request that saved-only mode refuses.
func checkSavedOnly(header http.Header) error {
	for _, rule := range savedOnlyRules {
		for _, name := range rule.headers {
			value := headerValue(header, http.CanonicalHeaderKey(name))
			if value == "" || rule.isAllowed != nil && rule.isAllowed(value) {
				continue
			}
			return &gatewayResponse{status: http.StatusBadRequest, body: map[string]any{
				"status":  "failure",
				"message": rule.message,
				"error":   map[string]string{"code": rule.code, "message": rule.message, "field": name},
			}}
		}
	}
	return nil
}
