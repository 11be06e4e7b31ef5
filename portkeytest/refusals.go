package portkeytest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/portkey-go/portkey"
)

// maxHeader is what Node.js takes: the URL, and the names and values of all headers.
const maxHeader = 16 << 10

// read takes from the request what it says, or says why the gateway refuses it.
func (c *call) read() error {
	if headerSize(c.in) >= maxHeader {
		return &ownAnswer{status: http.StatusRequestHeaderFieldsTooLarge}
	}
	if c.in.URL.Path == "/" && (c.in.Method == http.MethodGet || c.in.Method == http.MethodHead) {
		return &ownAnswer{status: http.StatusOK, body: "AI Gateway says hey!"}
	}
	var ok bool
	if c.endpoint, ok = endpointOf(c.in.Method, c.in.URL.Path); !ok {
		return &ownAnswer{status: http.StatusNotFound, body: struct {
			Message string `json:"message"`
			OK      bool   `json:"ok"`
		}{"Not Found", false}}
	}
	if err := c.readHeader(); err != nil {
		return err
	}
	return c.readBody()
}

func headerSize(r *http.Request) int {
	size := len(r.URL.RequestURI()) + len("Host") + len(r.Host)
	for key, values := range r.Header {
		for _, v := range values {
			size += len(key) + len(v)
		}
	}
	return size
}

func (c *call) readHeader() error {
	contentType, _, _ := strings.Cut(value(c.in.Header, "Content-Type"), ";")
	provider := value(c.in.Header, "X-Portkey-Provider")
	config := latin1(value(c.in.Header, "X-Portkey-Config"))
	host := value(c.in.Header, "X-Portkey-Custom-Host")
	refuse := func(message string, faults ...string) error {
		return fail(http.StatusBadRequest, message, faults...)
	}
	switch {
	case contentType != "" && contentType != "application/json" && contentType != "multipart/form-data" &&
		!strings.HasPrefix(contentType, "audio"):
		return refuse("Invalid content type passed")
	case provider == "" && config == "" && value(c.in.Header, "X-Portkey-Virtual-Key") == "":
		return refuse("Either x-portkey-config or x-portkey-provider header is required")
	case provider != "" && !isHeld(provider) && !slices.Contains(providers, provider):
		return refuse("Invalid provider passed")
	case host != "" && !isPublic(host):
		return refuse("Invalid custom host")
	case config == "":
		c.target.VirtualKey = value(c.in.Header, "X-Portkey-Virtual-Key")
		return nil
	case strings.HasPrefix(config, "pc-"), strings.HasPrefix(config, "cf-"):
		c.target.VirtualKey = config // which Portkey has, as it would have a key
		return nil
	}

	var parsed any
	err := json.Unmarshal([]byte(config), &parsed)
	if err != nil || parsed == nil && provider == "" {
		return refuse("Invalid config passed. You need to pass a valid json")
	}
	object, _ := parsed.(map[string]any)
	if provider == "" && !says(object, "provider") && !says(object, "targets") && !says(object, "virtual_key") {
		return refuse("Either x-portkey-provider needs to be passed. Or the x-portkey-config header should have a valid config with provider details in it.")
	}
	old := says(object, "options") // which Validate refuses as well
	delete(object, "options")
	text, _ := json.Marshal(parsed)
	if err := json.Unmarshal(text, &c.target); err != nil {
		return refuse("Invalid config passed", "path: , message: Expected object")
	}
	if faults := configFaults(c.target); faults != nil {
		return refuse("Invalid config passed", faults...)
	}
	if old {
		return refuse("This version of config is not supported in this route. Please migrate to the latest version")
	}
	return nil
}

// says reports whether a key's value is one that JavaScript takes for true.
func says(object map[string]any, key string) bool {
	switch object[key] {
	case nil, false, "", 0.0:
		return false
	}
	return true
}

// configFaults says what is wrong with a config, in the gateway's form: Validate's
// faults, and what that leaves to the gateway.
func configFaults(config portkey.ConfigObject) (all []string) {
	var invalid *portkey.HeaderError
	if errors.As(config.Validate(), &invalid) {
		for _, fault := range strings.Split(invalid.Reason, "; ") {
			path, message, _ := strings.Cut(fault, " ")
			if path == "the" { // the config itself
				path, message = "", strings.TrimPrefix(message, "config ")
			}
			all = append(all, configFault(path, message))
		}
	}
	var walk func(path string, t portkey.ConfigObject)
	walk = func(path string, t portkey.ConfigObject) {
		if t.Provider != "" && !isHeld(t.Provider) && !slices.Contains(providers, t.Provider) {
			all = append(all, configFault(path+".provider", "Invalid 'provider' value. Must be one of: "+strings.Join(providers, ", ")))
		}
		if t.CustomHost != "" && !isPublic(t.CustomHost) {
			all = append(all, configFault(path, "Invalid custom host"))
		}
		for i := range t.Targets {
			walk(fmt.Sprintf("%s.targets[%d]", path, i), t.Targets[i])
		}
	}
	walk("", config)
	return all
}

func configFault(path, message string) string {
	path = strings.NewReplacer(".", ",", "[", ",", "]", "").Replace(strings.TrimPrefix(path, "."))
	return "path: " + path + ", message: " + message
}

func (c *call) readBody() error {
	contentType := value(c.in.Header, "Content-Type")
	mediaType, _, _ := strings.Cut(contentType, ";")
	method := c.in.Method
	invalid := func(fault string) error {
		if c.endpoint != nil {
			fault = wentWrong
		}
		return fail(http.StatusInternalServerError, fault)
	}
	kind := ""
	switch {
	case c.endpoint != nil:
		kind = c.endpoint.body
	case mediaType == "application/json" && method != http.MethodGet && method != http.MethodDelete:
		kind = "json"
	case mediaType == "multipart/form-data":
		kind = "form"
	}
	switch kind {
	case "json":
		var body any
		if err := json.Unmarshal(c.body, &body); err != nil {
			return invalid("Proxy error: " + err.Error())
		}
		c.params, _ = body.(map[string]any)
	case "form":
		_, params, err := mime.ParseMediaType(contentType)
		if err == nil {
			_, err = multipart.NewReader(bytes.NewReader(c.body), params["boundary"]).ReadForm(maxBody)
		}
		if err != nil {
			return invalid("Proxy error: Failed to parse body as FormData.")
		}
	}
	return nil
}

var (
	hostForm   = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+){0,9}$`)
	localHosts = []string{"localhost", "127.0.0.1", "host.docker.internal"}
	privately  = regexp.MustCompile(`\.(local|localdomain|internal|intranet|lan|home|corp|test|invalid|onion)$`)
	reserved   = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("224.0.0.0/3"),
	}
)

// isPublic reports whether the gateway would call a custom host: a public one, or
// one on the gateway's own machine.
func isPublic(text string) bool {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Contains(text, "@") ||
		strings.Contains(strings.ToLower(text), "api.portkey") {
		return false
	}
	if port, err := strconv.Atoi(cmp.Or(u.Port(), "80")); err != nil || port < 1 || port > 65535 {
		return false
	}
	host := strings.ToLower(u.Hostname())
	if slices.Contains(localHosts, host) || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if !hostForm.MatchString(host) || privately.MatchString(host) || host == "metadata" || host == "metadata.azure.com" || host == "instance-data" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !slices.ContainsFunc(reserved, func(p netip.Prefix) bool { return p.Contains(ip) })
}
