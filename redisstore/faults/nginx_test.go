//go:build unix

package faults

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const nginxConf = `
daemon off;
pid nginx.pid;
error_log stderr crit;
events {}
http {
	access_log off;
	client_body_temp_path body;
	proxy_temp_path proxy;
	fastcgi_temp_path fastcgi;
	uwsgi_temp_path uwsgi;
	scgi_temp_path scgi;
	server {
		listen %s;
		location / { proxy_pass %s; }
	}
}
`

// behindNginx starts an nginx before a server, and returns its URL. It ends with the test, or with
// this process, if that is killed. Without nginx the test is skipped, or fails if the environment
// has CI in it.
func behindNginx(t *testing.T, server string) string {
	t.Helper()
	t.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin") // where Debian has it
	if _, err := exec.LookPath("nginx"); err != nil {
		const missing = "nginx is not installed: apt-get install nginx-light"
		if _, ci := os.LookupEnv("CI"); ci {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	check(t, err)
	defer listener.Close()
	file, err := listener.File() // connections wait in it until nginx serves
	check(t, err)
	defer file.Close()
	addr, dir := listener.Addr().String(), t.TempDir()
	conf := fmt.Appendf(nil, nginxConf, addr, server)
	check(t, os.WriteFile(filepath.Join(dir, "nginx.conf"), conf, 0o600))
	nginx := exec.Command("sh", "-c",
		`nginx -e stderr -p "$0" -c nginx.conf & exec 3<&-; cat; kill $!; wait`, dir)
	nginx.Env = append(os.Environ(), "NGINX=3;") // so one nginx tells the next what it inherits
	nginx.ExtraFiles = []*os.File{file}          // the first of these has the number 3
	nginx.Stdout, nginx.Stderr = t.Output(), t.Output()
	stdin, err := nginx.StdinPipe()
	check(t, err)
	check(t, nginx.Start())
	t.Cleanup(func() {
		stdin.Close()
		_ = nginx.Wait() // it was killed
	})
	return "http://" + addr
}
