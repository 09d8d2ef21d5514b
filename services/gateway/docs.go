package gateway

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"

	"github.com/peerbus/peerbus/gen/openapi"
	"github.com/peerbus/peerbus/web"
)

// docsPage is /docs/, from files in the binary.
func docsPage() http.Handler {
	return v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "peerbus", SwaggerJSON: "/openapi.json", BasePath: "/docs/",
		SettingsUI: map[string]string{"validatorUrl": "null"}, // nothing is asked of other hosts
	})
}

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openapi.JSON)
}

func serveModule(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/javascript")
	_, _ = w.Write(web.Module)
}
