package portkeytest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"mime"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxHeaderBytes is Node.js's limit for the URL and all header names and values together.
const maxHeaderBytes = 16 << 10

// parse sets the exchange's fields that describe the request. It returns the gateway's response if the gateway handles
// or rejects the request without calling a provider.
func (x *exchange) parse() error {
	if headerBytes(x.req) >= maxHeaderBytes {
		return &gatewayResponse{status: http.StatusRequestHeaderFieldsTooLarge}
	}
	if x.req.URL.Path == "/" && (x.req.Method == http.MethodGet || x.req.Method == http.MethodHead) {
		return &gatewayResponse{status: http.StatusOK, body: "AI Gateway says hey!"}
	}
	x.isPortkeyAPI = isPortkeyAPI(x.req)
	endpoint, found := findEndpoint(x.req.Method, x.req.URL.Path)
	if !found && !x.isPortkeyAPI {
		return &gatewayResponse{status: http.StatusNotFound, body: struct {
			Message string `json:"message"`
			OK      bool   `json:"ok"`
		}{"Not Found", false}}
	}
	if x.gateway.SavedOnly {
		if err := checkSavedOnly(x.req.Header); err != nil {
			return err
		}
	}
	if x.isPortkeyAPI {
		return nil
	}
	x.endpoint = endpoint
	if err := x.parseHeader(); err != nil {
		return err
	}
	return x.parseBody()
}

func headerBytes(r *http.Request) int {
	size := len(r.URL.RequestURI()) + len("Host") + len(r.Host)
	for key, values := range r.Header {
		for _, value := range values {
			size += len(key) + len(value)
		}
	}
	return size
}

// parseHeader makes the checks in the order in which the gateway makes them.
func (x *exchange) parseHeader() error {
	mediaType, _, _ := strings.Cut(headerValue(x.req.Header, "Content-Type"), ";")
	provider := headerValue(x.req.Header, "X-Portkey-Provider")
	virtualKey := headerValue(x.req.Header, "X-Portkey-Virtual-Key")
	config := decodeLatin1(headerValue(x.req.Header, "X-Portkey-Config"))
	customHost := headerValue(x.req.Header, "X-Portkey-Custom-Host")

	switch {
	case mediaType != "" && mediaType != "application/json" && mediaType != "multipart/form-data" &&
		!strings.HasPrefix(mediaType, "audio"):
		return badRequest("Invalid content type passed")
	case provider == "" && config == "" && virtualKey == "" && !isSavedPrompt(x.req) && !x.namesSavedProvider():
		return badRequest("Either x-portkey-config or x-portkey-provider header is required")
	case provider != "" && !isKnownProvider(provider):
		return badRequest("Invalid provider passed")
	case customHost != "" && !isAllowedHost(customHost):
		return badRequest("Invalid custom host")
	case config == "":
		x.config.VirtualKey = virtualKey
		return nil
	case strings.HasPrefix(config, "pc-"), strings.HasPrefix(config, "cf-"):
		// A config slug is treated like a virtual key: both stand for a provider that only Portkey knows.
		x.config.VirtualKey = config
		return nil
	}
	return x.parseConfig(config, provider)
}

func badRequest(message string, problems ...string) error {
	return rejection(http.StatusBadRequest, message, problems...)
}

// isTruthy reports whether JavaScript would convert a JSON value to true.
func isTruthy(value any) bool {
	switch value {
	case nil, false, "", 0.0:
		return false
	}
	return true
}

// parseBody decodes a JSON body into params and checks that a form can be decoded.
func (x *exchange) parseBody() error {
	contentType := headerValue(x.req.Header, "Content-Type")
	switch x.expectedBody(contentType) {
	case jsonBody:
		if err := json.Unmarshal(x.body, &x.params); err != nil {
			return x.invalidBody("Proxy error: " + err.Error())
		}
		x.hasJSONBody = true
	case formBody:
		_, params, err := mime.ParseMediaType(contentType)
		if err == nil {
			_, err = multipart.NewReader(bytes.NewReader(x.body), params["boundary"]).ReadForm(maxBodyBytes)
		}
		if err != nil {
			return x.invalidBody("Proxy error: Failed to parse body as FormData.")
		}
	}
	return nil
}

// expectedBody returns how the gateway decodes the body. The Content-Type matters only for a proxied request.
func (x *exchange) expectedBody(contentType string) bodyType {
	mediaType, _, _ := strings.Cut(contentType, ";")
	method := x.req.Method
	switch {
	case x.endpoint != nil:
		return x.endpoint.body
	case mediaType == "application/json" && method != http.MethodGet && method != http.MethodDelete:
		return jsonBody
	case mediaType == "multipart/form-data":
		return formBody
	}
	return anyBody
}

// invalidBody returns the response to a body that cannot be decoded. Only for a proxied request it has the message.
func (x *exchange) invalidBody(proxyMessage string) error {
	if x.endpoint != nil {
		return rejection(http.StatusInternalServerError, somethingWentWrong)
	}
	return rejection(http.StatusInternalServerError, proxyMessage)
}

var (
	hostnamePattern = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+){0,9}$`)
	privateDomains  = regexp.MustCompile(
		`\.(local|localdomain|internal|intranet|lan|home|corp|test|invalid|onion)$`)

	localHosts    = []string{"localhost", "127.0.0.1", "host.docker.internal"}
	metadataHosts = []string{"metadata", "metadata.azure.com", "instance-data"}

	privatePrefixes = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("10.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("127.0.0.0/8"),
		netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"),
		netip.MustParsePrefix("224.0.0.0/3"),
	}
)

// isAllowedHost reports whether the gateway accepts a custom host: it has to be public or on the gateway's own machine.
// TestPortkeytestTakesTheHostsThatTheGatewayTakes in interop/ compares it with the gateway.
func isAllowedHost(customHost string) bool {
	u, err := url.Parse(strings.TrimSpace(customHost))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	if strings.Contains(customHost, "@") || strings.Contains(strings.ToLower(customHost), "api.portkey") {
		return false
	}
	port, err := strconv.Atoi(cmp.Or(u.Port(), "80"))
	if err != nil || port < 1 || port > 65535 {
		return false
	}
	hostname := strings.ToLower(u.Hostname())
	if slices.Contains(localHosts, hostname) || strings.HasSuffix(hostname, ".localhost") {
		return true
	}
	if !hostnamePattern.MatchString(hostname) || privateDomains.MatchString(hostname) ||
		slices.Contains(metadataHosts, hostname) {
		return false
	}
	ip, err := netip.ParseAddr(hostname)
	if err != nil {
		return true // a hostname, not an IP address
	}
	return !slices.ContainsFunc(privatePrefixes, func(p netip.Prefix) bool { return p.Contains(ip) })
}
