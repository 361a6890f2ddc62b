plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

val ncnnSource: String = providers.gradleProperty("ifrnet.ncnnSource").orNull
    ?: throw GradleException("pass the folder of ncnn's sources: -Pifrnet.ncnnSource=/path/to/ncnn (see README.md)")

android {
    namespace = "ifrnet"
    compileSdk = 35
    ndkVersion = "27.2.12479018"

    defaultConfig {
        minSdk = 29
        consumerProguardFiles("consumer-rules.pro")
        ndk {
            abiFilters += "arm64-v8a"
        }
        externalNativeBuild {
            cmake {
                targets += "ifrnet_jni"
                arguments += listOf(
                    "-DANDROID_STL=c++_static",
                    "-DANDROID_SUPPORT_FLEXIBLE_PAGE_SIZES=ON", // 16 KB pages
                    "-DCMAKE_BUILD_TYPE=Release", // debug builds of the app too: unoptimised, a frame takes minutes
                    "-DIFRNET_NCNN_SOURCE=$ncnnSource",
                    "-DIFRNET_VULKAN=ON"
                )
            }
        }
    }

    externalNativeBuild {
        cmake {
            path = file("src/main/cpp/CMakeLists.txt")
            version = "3.22.1"
        }
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
}

kotlin {
    jvmToolchain(17)
}
